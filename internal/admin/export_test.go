package admin

import "net/http"

// Handler is what the listener serves.
func (s *Server) Handler() http.Handler { return s.http.Handler }
