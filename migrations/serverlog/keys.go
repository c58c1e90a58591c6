package serverlog

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"

	"github.com/strangler-fig/strangler/migrations"
)

const (
	// spillBytes is how much memory Keys take, about, before what it holds goes to a file.
	spillBytes = 4 << 20
	// keyOverhead is what a key takes in memory beside its bytes.
	keyOverhead = 32
	// runBuffer is read of a run at once.
	runBuffer = 16 << 10
)

// Keys collects keys of one table in bounded memory: what is too much goes in sorted runs to a file without a name in
// the folder for temporary files. Keys that were added twice may come twice; Distinct tells each once. One goroutine adds;
// behind the last Add several may read. Whoever made it closes it; the zero value is empty.
type Keys struct {
	keys  [][]byte // encoded
	bytes int      // of keys, about
	added int      // how often Add was called
	file  *os.File // nil: none was needed
	end   int64
	runs  []stretch
}

// stretch is a part of the file.
type stretch struct{ at, length int64 }

// Add takes a key. The error is of the temporary file.
func (s *Keys) Add(k migrations.Key) error {
	e := migrations.Encode(k)
	s.keys, s.bytes, s.added = append(s.keys, e), s.bytes+len(e)+keyOverhead, s.added+1
	if s.bytes < spillBytes {
		return nil
	}
	if err := s.spill(); err != nil {
		return fmt.Errorf("the keys of a large transaction go to a temporary file in %s; nothing was lost, make room there or set TMPDIR: %w", os.TempDir(), err)
	}
	return nil
}

func (s *Keys) spill() (err error) {
	if s.file == nil {
		if s.file, err = os.CreateTemp("", "strangler-keys-"); err != nil {
			return err
		}
		_ = os.Remove(s.file.Name()) // where that is not possible while it is open, close does it
	}
	w := bufio.NewWriterSize(s.file, 64<<10)
	length := int64(0)
	for _, k := range sorted(s.keys) {
		head := binary.AppendUvarint(nil, uint64(len(k)))
		length += int64(len(head) + len(k))
		for _, b := range [][]byte{head, k} {
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	s.runs = append(s.runs, stretch{s.end, length})
	s.end += length
	clear(s.keys)
	s.keys, s.bytes = s.keys[:0], 0
	return nil
}

// sorted sorts keys in place, and drops those that come again.
func sorted(keys [][]byte) [][]byte {
	slices.SortFunc(keys, bytes.Compare)
	return slices.CompactFunc(keys, bytes.Equal)
}

// Close gives the file back; twice is safe.
func (s *Keys) Close() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file, s.runs, s.keys = nil, nil, nil
	err := f.Close()
	_ = os.Remove(f.Name()) // it has no name any more, where that was possible
	return err
}

// Empty reports whether no key was added.
func (s *Keys) Empty() bool { return s.added == 0 }

// CloseAll closes several.
func CloseAll(sets []*Keys) error {
	var errs []error
	for _, s := range sets {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// Added is how often Add was called on any of several.
func Added(sets []*Keys) (n int) {
	for _, s := range sets {
		n += s.added
	}
	return n
}

// Distinct yields every key of the sets once, as it is written; an error is the last that it yields.
func Distinct(sets []*Keys) iter.Seq2[migrations.Key, error] {
	return func(yield func(migrations.Key, error) bool) {
		h, err := merging(sets)
		var last []byte
		for err == nil && len(h) > 0 {
			e := h[0].key
			if last == nil || !bytes.Equal(e, last) {
				k, errKey := migrations.Decode(e)
				if errKey != nil || !yield(k, nil) {
					err = errKey
					break
				}
				last = append(last[:0], e...)
			}
			err = h.step()
		}
		if err != nil {
			yield(nil, fmt.Errorf("read the keys of a large transaction back: %w", err))
		}
	}
}

// source is a sorted sequence of keys: its next key, and how it goes on; io.EOF is its end.
type source struct {
	key  []byte
	next func(into []byte) ([]byte, error)
}

// merge is a heap of sources, the one with the lowest key first.
type merge []*source

func (m merge) Len() int           { return len(m) }
func (m merge) Less(i, j int) bool { return bytes.Compare(m[i].key, m[j].key) < 0 }
func (m merge) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(x any)        { *m = append(*m, x.(*source)) }
func (m *merge) Pop() any {
	s := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return s
}

// step takes the lowest key out.
func (m *merge) step() (err error) {
	s := (*m)[0]
	s.key, err = s.next(s.key)
	if errors.Is(err, io.EOF) {
		heap.Pop(m)
		return nil
	}
	heap.Fix(m, 0)
	return err
}

// merging begins to merge all that the sets hold.
func merging(sets []*Keys) (m merge, err error) {
	var held [][]byte
	for _, s := range sets {
		held = append(held, s.keys...)
		for _, r := range s.runs {
			m = append(m, &source{next: reading(bufio.NewReaderSize(io.NewSectionReader(s.file, r.at, r.length), runBuffer))})
		}
	}
	held = sorted(held)
	m = append(m, &source{next: func([]byte) ([]byte, error) {
		if len(held) == 0 {
			return nil, io.EOF
		}
		k := held[0]
		held = held[1:]
		return k, nil
	}})
	begun := m[:0]
	for _, s := range m {
		switch s.key, err = s.next(nil); {
		case err == nil:
			begun = append(begun, s)
		case !errors.Is(err, io.EOF):
			return nil, err
		}
	}
	heap.Init(&begun)
	return begun, nil
}

func reading(r *bufio.Reader) func([]byte) ([]byte, error) {
	return func(into []byte) ([]byte, error) {
		n, err := binary.ReadUvarint(r)
		if err != nil {
			return nil, err
		}
		k := slices.Grow(into[:0], int(n))[:n]
		if _, err := io.ReadFull(r, k); err != nil {
			return nil, errors.Join(io.ErrUnexpectedEOF, err)
		}
		return k, nil
	}
}
