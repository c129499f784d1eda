package clientcert

// ParseUPNs is parseUPNs.
var ParseUPNs = parseUPNs
