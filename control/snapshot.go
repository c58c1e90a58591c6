package control

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/strangler-fig/strangler"
)

// Snapshot reads every toggle in one statement, so that they belong to one moment.
func (s *Store) Snapshot(ctx context.Context) (strangler.Snapshot, error) {
	var rows []toggleRow
	if err := s.db.WithContext(ctx).Order("capability").Find(&rows).Error; err != nil {
		return strangler.Snapshot{}, readError("the toggles", err)
	}
	snapshot := strangler.Snapshot{ControlID: s.id, Toggles: make([]strangler.Toggle, len(rows)), At: moment(stamp(s.local()))}
	for i, r := range rows {
		snapshot.Toggles[i] = r.toggle()
	}
	return snapshot, nil
}

// snapshotHead begins the file; the SHA-256 of what follows its line stands behind it, in hexadecimal.
const snapshotHead = "strangler snapshot 1 "

// SaveSnapshot writes the last good snapshot for the time when the store cannot be reached. The file
// (mode 0600) is the old one or the new one at every instant, also after a power cut. The folder is
// made (0700) when it is missing.
func SaveSnapshot(path string, snapshot strangler.Snapshot) error {
	body, err := json.Marshal(snapshot)
	if err != nil {
		return fmt.Errorf("the snapshot cannot be written: %w", err)
	}
	sum := sha256.Sum256(body)
	content := append([]byte(snapshotHead+hex.EncodeToString(sum[:])+"\n"), body...)
	if err := replaceFile(path, content); err != nil {
		return fmt.Errorf("the snapshot was not written to %s; an earlier one is as it was: %w", path, err)
	}
	return nil
}

// replaceFile writes beside path, makes it durable, and renames. The new file has mode 0600.
func replaceFile(path string, content []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name()) // gone already when only the folder could not be synchronised
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// LoadSnapshot reads what SaveSnapshot wrote, and marks it stale. A damaged file is refused
// (strangler.ErrRefused): what it would say about an owner is worth nothing. A missing one is
// strangler.ErrNotFound.
func LoadSnapshot(path string) (strangler.Snapshot, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return strangler.Snapshot{}, fmt.Errorf("the last good snapshot: %w: %w", strangler.ErrNotFound, err)
	}
	if err != nil {
		return strangler.Snapshot{}, fmt.Errorf("the last good snapshot cannot be read: %w", err)
	}
	damaged := strangler.Refuse("snapshot", fmt.Sprintf("%s is damaged", path), "make the control store reachable; the file is then written anew")
	head, body, found := bytes.Cut(content, []byte("\n"))
	sum := sha256.Sum256(body)
	if !found || string(head) != snapshotHead+hex.EncodeToString(sum[:]) {
		return strangler.Snapshot{}, damaged
	}
	var snapshot strangler.Snapshot
	if err := json.Unmarshal(body, &snapshot); err != nil {
		return strangler.Snapshot{}, damaged
	}
	snapshot.Stale = true
	return snapshot, nil
}
