package clientcert

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"slices"
)

// The fields that may hold the name of a user.
const (
	UPN   = "upn"   // the user principal name of Active Directory, in the subjectAltName
	Email = "email" // the rfc822Name of the subjectAltName (RFC 5280 §4.2.1.6)
	CN    = "cn"    // the common name of the subject
)

var (
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidUPN            = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}
	oidCommonName     = asn1.ObjectIdentifier{2, 5, 4, 3}
)

// errNames means that a certificate's names are not what RFC 5280 says.
var errNames = errors.New("malformed names")

// names returns the values of a field, in the order of the certificate. The
// mail address that old certificates have in the subject is none of them.
func names(cert *x509.Certificate, field string) ([]string, error) {
	switch field {
	case UPN:
		return upns(cert)
	case Email:
		return cert.EmailAddresses, nil
	}
	var all []string
	for _, name := range cert.Subject.Names {
		if !name.Type.Equal(oidCommonName) {
			continue
		}
		text, ok := name.Value.(string)
		if !ok {
			return nil, errNames
		}
		all = append(all, text)
	}
	return all, nil
}

// upns returns the user principal names of the subjectAltName. Package x509
// passes over the form of name that they have, and has made sure that there is
// one such extension at most.
func upns(cert *x509.Certificate) ([]string, error) {
	i := slices.IndexFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidSubjectAltName) })
	if i < 0 {
		return nil, nil
	}
	return parseUPNs(cert.Extensions[i].Value)
}

// parseUPNs returns the user principal names among GeneralNames:
//
//	GeneralNames ::= SEQUENCE OF GeneralName
//	GeneralName  ::= CHOICE { otherName [0] IMPLICIT OtherName, … }
//	OtherName    ::= SEQUENCE { type-id OBJECT IDENTIFIER, value [0] EXPLICIT ANY }
//
// where the value of a user principal name is a UTF8String.
func parseUPNs(der []byte) ([]string, error) {
	rest, err := open(der, asn1.ClassUniversal, asn1.TagSequence, true)
	if err != nil {
		return nil, err
	}
	var all []string
	for len(rest) > 0 {
		var name asn1.RawValue
		if rest, err = asn1.Unmarshal(rest, &name); err != nil {
			return nil, errNames
		}
		if name.Class != asn1.ClassContextSpecific || name.Tag != 0 {
			continue
		}
		upn, is, err := parseOtherName(name)
		if err != nil {
			return nil, err
		}
		if is {
			all = append(all, upn)
		}
	}
	return all, nil
}

// parseOtherName returns the user principal name that an otherName is, if it
// is one.
func parseOtherName(name asn1.RawValue) (upn string, is bool, err error) {
	var id asn1.ObjectIdentifier
	value, err := asn1.Unmarshal(name.Bytes, &id)
	switch {
	case err != nil || !name.IsCompound:
		return "", false, errNames
	case !id.Equal(oidUPN):
		return "", false, nil
	}
	inner, err := open(value, asn1.ClassContextSpecific, 0, true)
	if err != nil {
		return "", false, err
	}
	text, err := open(inner, asn1.ClassUniversal, asn1.TagUTF8String, false)
	return string(text), true, err
}

// open returns the contents of the one value that der is, which must have this
// tag.
func open(der []byte, class, tag int, compound bool) ([]byte, error) {
	var v asn1.RawValue
	rest, err := asn1.Unmarshal(der, &v)
	if err != nil || len(rest) > 0 || v.Class != class || v.Tag != tag || v.IsCompound != compound {
		return nil, errNames
	}
	return v.Bytes, nil
}
