package proxy

import (
	"crypto/x509"
	"fmt"
	"os"
)

// ReadCA reads a PEM file with the certificates of whoever may vouch for an upstream, in place of the system's. Without a file it
// returns nil, which stands for those.
func ReadCA(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate; it has to be PEM, with -----BEGIN CERTIFICATE----- in front of each", file)
	}
	return roots, nil
}
