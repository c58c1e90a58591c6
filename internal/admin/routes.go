package admin

import (
	"net/http"
	"net/http/pprof"

	"github.com/labstack/echo/v4"
)

// router names every endpoint. Probes are public; everything else needs the token.
func (s *Server) router() http.Handler {
	e := newEcho()
	e.HTTPErrorHandler = s.fail
	e.Use(s.logged, s.recovered, s.counted)
	e.GET("/healthz", s.healthz)
	e.GET("/readyz", s.readyz)

	private := e.Group("", s.sameSite, s.authorised)
	if s.cfg.Metrics != nil {
		private.GET("/metrics", echo.WrapHandler(s.cfg.Metrics))
	}
	private.GET("/debug/pprof/*", echo.WrapHandler(http.HandlerFunc(pprof.Index)))
	private.GET("/debug/pprof/profile", echo.WrapHandler(http.HandlerFunc(pprof.Profile)))
	private.GET("/debug/pprof/trace", echo.WrapHandler(http.HandlerFunc(pprof.Trace)))
	v1 := private.Group("/v1", s.bounded)
	v1.GET("/toggles", s.snapshot)
	v1.GET("/toggles/:cap", s.toggle)
	v1.PUT("/toggles/:cap", s.flip)
	v1.GET("/toggles/:cap/history", s.history)
	v1.GET("/instances", s.instances)

	v1.GET("/splits/:cap", s.splitStatus)
	v1.GET("/splits/:cap/writers", s.writers)
	v1.POST("/splits/:cap/start", s.start)
	v1.POST("/splits/:cap/verify", s.verify)
	v1.POST("/splits/:cap/cutover", s.cutover)
	v1.POST("/splits/:cap/rollback", s.rollback)
	v1.POST("/splits/:cap/complete", s.complete)
	v1.POST("/splits/:cap/cancel", s.cancel)
	v1.POST("/splits/:cap/adopt", s.adopt)

	v1.GET("/runs/:cap", s.runStatus)
	v1.POST("/runs/:cap", s.run)
	v1.POST("/runs/:cap/rollback", s.runBack)
	v1.POST("/runs/:cap/approve", s.approve)
	for verb, action := range runVerbs {
		v1.POST("/runs/:cap/"+verb, s.ask(action))
	}
	return e
}
