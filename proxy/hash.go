package proxy

import (
	"encoding/binary"
	"math/bits"
)

// hash64 spreads a key over 64 bits, the same on every machine and in every release: a canary's
// users would change sides if it changed. It folds eight bytes at a time by a 128-bit product, as
// wyhash does (github.com/wangyi-fudan/wyhash, final version 4), and ends with murmur3's finaliser.
// It allocates nothing. It is no defence against keys that are chosen to collide: all that these
// could change is which side serves their own reads.
func hash64(salt uint64, key string) uint64 {
	const a, b = 0xa0761d6478bd642f, 0xe7037ed1a0b428db
	h := fold(salt^a, uint64(len(key))^b)
	for ; len(key) > 8; key = key[8:] {
		h = fold(h^le64(key), a)
	}
	var tail [8]byte
	copy(tail[:], key)
	h = fold(h^binary.LittleEndian.Uint64(tail[:]), b)
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func fold(x, y uint64) uint64 {
	hi, lo := bits.Mul64(x, y)
	return hi ^ lo
}

func le64(s string) uint64 {
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// bucket is a user's place between 0 and 999 999. A canary of p millionths has the buckets below p,
// so that a larger percentage only adds users.
func bucket(hash uint64) uint64 {
	hi, _ := bits.Mul64(hash, 1_000_000)
	return hi
}
