package userfile_test

// Hashes that crypt(3) of libxcrypt and Python's hashlib made, and keys for SCRAM.
const (
	// sha512Hash is of "Hello world!", and also what openssl passwd -6 prints.
	sha512Hash = "$6$0123456789abcdef$borNQb4Q87VhdsvRUrkAIOI29SOnSTZO9jyfh/XM94.IMNGHlu0GpQpzVx3iZCsDJYlnrC7J6GaF9MVSlWdEi."
	// slowHash is of "slow", and takes some 20 ms.
	slowHash = "$6$rounds=20000$slowslow$ExiVG0rUGhbfNDemviRSs/QaGyZ3LCmk9cP8dW43Xw.QY1lpNkfPgA8uwmHaNyRMYcLcakpis8IBCa.kFikI3."
	// rawHash is the last part of $6$rounds=1000$rawraw$, of an e and a
	// combining acute accent.
	rawHash = "jHNqfb1kGwCanwT7r.JKH58s9gkio67XbE5eokh.2VNMhb7EZLi9YqX6ox7rcdiOjmUWzO5Oyvy5bi02zlA9K0"
	// pencil has the salt, iterations and password of RFC 7677 §3.
	pencil = "4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	// pencil1 has those of RFC 5802 §5, and the keys that gsasl makes of them.
	pencil1 = "4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE="
	// dovecotCRAM is what doveadm makes of the secret of RFC 2195 §2.
	dovecotCRAM = "d06d4e1b26fccaa4b0b61801132340a354b21152711fb604ca3e035e7015116b"
)
