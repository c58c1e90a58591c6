//go:build !race

package config

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler/internal/config/schematest"
)

// TestSchemaSaysWhatTheReaderSays: of every key left out, and of every sample in every place.
func TestSchemaSaysWhatTheReaderSays(t *testing.T) {
	valid := schematest.Compile(t, Schema())
	if _, err := loaded(document(t)); err != nil {
		t.Fatal(err)
	}
	places(t, fileSchema(), "", nil, func(p place) {
		tried := samples
		if len(p.way) > 0 {
			if _, key := p.way[len(p.way)-1].(string); key {
				tried = append(slices.Clip(samples), absent)
			}
		}
		for _, sample := range tried {
			root := p.with(t, sample)
			_, err := loaded(root)
			if onlyVariable(sample, err) {
				err = nil
			}
			differ := slices.ContainsFunc(readerAlone[p.name], func(other any) bool { return cmp.Equal(other, sample) }) ||
				sample == nil && slices.Contains(schemaAlone, p.name)
			if by := valid(root); (err == nil) != (by == nil) != differ {
				t.Errorf("%s: %#v: the reader says %v, the schema %v", p.name, sample, err, by)
			}
		}
	})
}

// onlyVariable reports whether all that the reader misses is the variable of a sample.
func onlyVariable(sample any, err error) bool {
	var all *Error
	return sample == any("${ANY}") && errors.As(err, &all) && len(all.Problems) > 0 && strings.Contains(all.Problems[0].Message, "variable ANY is not set")
}
