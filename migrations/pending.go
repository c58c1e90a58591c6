package migrations

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
)

// stageNames are the stages by which a side's scripts are known.
var stageNames = map[Stage]string{StageFirst: "first", StageCapture: "capture", StageIndexed: "indexed", StageWhole: "whole", StageArmed: "armed", StageComplete: "complete"}

// beside is a planning of its own, beside the worker's.
func (s *Splits) beside(ctx context.Context, capability string) (*Planning, func() error, error) {
	x, err := s.split(capability)
	if err != nil {
		return nil, nil, err
	}
	return NewPlanning(ctx, s.cfg.Open, s.cfg.Dir, s.cfg.ControlID, x.c)
}

// PendingScripts are the scripts that have not run, in the order in which they will; those that are not written yet as they would
// be. What forbids the split is a Refusal.
func (s *Splits) PendingScripts(ctx context.Context, capability string) (out []strangler.Script, err error) {
	p, closeAll, err := s.beside(ctx, capability)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	files, err := p.written()
	if err == nil && len(files) == 0 {
		var plan Plan
		plan, err = p.Make(ctx)
		files = plan.Files
	}
	if err != nil {
		return nil, err
	}
	at := map[strangler.Side]Stage{}
	for _, side := range []strangler.Side{strangler.Legacy, strangler.Service} {
		d, err := p.open(ctx, side)
		if err != nil {
			return nil, err
		}
		version, _, err := d.Version(ctx)
		if err != nil {
			return nil, err
		}
		at[side] = Stage(version)
	}
	for _, f := range files {
		side := strangler.Side(filepath.Base(filepath.Dir(f.Path)))
		var stage uint
		if _, err := fmt.Sscanf(filepath.Base(f.Path), "%06d_", &stage); err == nil && strings.HasSuffix(f.Path, ".up.sql") && Stage(stage) > at[side] {
			out = append(out, strangler.Script{Side: side, Stage: stageNames[Stage(stage)], Path: filepath.ToSlash(f.Path), SQL: f.SQL})
		}
	}
	return out, nil
}

// AppliedScripts are the scripts that have run, as a cancel takes them back and in that order: the SQL is that of the way down.
func (s *Splits) AppliedScripts(ctx context.Context, capability string) (out []strangler.Script, err error) {
	p, closeAll, err := s.beside(ctx, capability)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	for _, side := range downwards {
		d, err := p.open(ctx, side)
		if err != nil {
			return nil, err
		}
		version, dirty, err := d.Version(ctx)
		switch {
		case err != nil:
			return nil, err
		case dirty:
			return nil, p.halfway(side)
		}
		scripts, err := p.scripts(side)
		if err != nil {
			return nil, err
		}
		for _, f := range slices.Backward(scripts) {
			if f.stage > Stage(version) {
				continue
			}
			path := filepath.Join(p.c.Name, string(side), strings.TrimSuffix(f.name, ".up.sql")+".down.sql")
			text, err := os.ReadFile(filepath.Join(p.dir, path))
			if err != nil {
				return nil, err
			}
			out = append(out, strangler.Script{Side: side, Stage: stageNames[f.stage], Path: filepath.ToSlash(path), SQL: string(text)})
		}
	}
	return out, nil
}

// written are the scripts on the disk, legacy's before the service's; none where they have not been made.
func (p *Planning) written() (files []File, err error) {
	for _, side := range []strangler.Side{strangler.Legacy, strangler.Service} {
		scripts, err := p.scripts(side)
		if err != nil {
			return nil, err
		}
		for _, s := range scripts {
			path := filepath.Join(p.c.Name, string(side), s.name)
			text, err := os.ReadFile(filepath.Join(p.dir, path))
			if err != nil {
				return nil, err
			}
			files = append(files, File{path, string(text)})
		}
	}
	return files, nil
}
