package proxy

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/strangler-fig/strangler"
)

// certificate is a pair of files, which is looked at again every second while it is used.
type certificate struct {
	p     *Proxy
	files TLS

	mu      sync.Mutex
	looked  time.Time
	changed [2]time.Time
	pair    *tls.Certificate
}

const certificateLook = time.Second

// newTLS reads the files for the first time. HTTP/2 is offered.
func newTLS(p *Proxy, files TLS) (*tls.Config, error) {
	c := &certificate{p: p, files: files}
	if err := c.read(); err != nil {
		return nil, fmt.Errorf("%w: the proxy's certificate: %w", strangler.ErrConfig, err)
	}
	return &tls.Config{GetCertificate: c.get, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12}, nil
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= certificateLook {
		if err := c.read(); err != nil {
			c.p.config.Log.Warn("the proxy's certificate cannot be read; the one before stays in use", strangler.LogError, err)
		}
	}
	return c.pair, nil
}

// read takes the files in if they have changed.
func (c *certificate) read() error {
	c.looked = time.Now()
	var changed [2]time.Time
	for i, name := range []string{c.files.Cert, c.files.Key} {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		changed[i] = info.ModTime()
	}
	if c.pair != nil && changed == c.changed {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return err
	}
	c.pair, c.changed = &pair, changed
	return nil
}
