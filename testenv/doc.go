// Package testenv is the world that kpopd is tested against: an MIT KDC with
// two realms that trust each other, an OpenLDAP server, an Active Directory
// domain controller, a certificate authority, the mail clients that people
// run, and a bad network.
//
// The servers run natively from Debian's packages or, with
// KPOPD_TESTENV=docker, in containers made from this directory's Dockerfile
// and compose.yaml. Both run the scripts in image, so both hold the same
// principals and the same directory entries:
//
//	EXAMPLE.TEST  alice bob dave alice/admin brief   users; brief's tickets last 5 s
//	              pop/localhost pop/pop.example.test  World.Keytab
//	              imap/localhost host/localhost       World.OtherKeytab
//	PARTNER.TEST  carol alice                         users of the trusted realm
//	              pop/localhost                       World.PartnerKeytab
//
// The password of each user, there and in the directory, is the name before
// the @ followed by "-password". [StartSamba] makes the domain controller, which
// always runs natively.
//
// Everything listens on the loopback interface. Nothing outlives the test
// binary, not even when it is killed: servers get a signal from the kernel at
// its death, and a watchdog that reads from a pipe removes what is left.
//
// What is missing on the machine fails the test with the apt-get line that
// helps. Only tests and testenv/bench import this package.
package testenv
