package proxy

import (
	"math/bits"
	"strconv"
	"testing"
)

// A change of these would make users of a running canary change sides.
func TestHashStaysTheSame(t *testing.T) {
	for _, one := range []struct {
		salt uint64
		key  string
		want uint64
	}{
		{0, "", 0x8b049ba20756533c}, {0, "delivery", 0x2efdbdc46108cacf}, {1, "user-12345", 0x7dd03069a0a97f54}, {hash64(0, "delivery"), "3uTq0e9Jx1nS4m5b6c7d8e", 0x1aa8a4e6f7a91fad},
	} {
		if got := hash64(one.salt, one.key); got != one.want {
			t.Errorf("hash64(%#x, %q) = %#x, want %#x", one.salt, one.key, got, one.want)
		}
	}
}

// Chi-square over 1,000 cells with keys that differ little. With 999 degrees of freedom it exceeds
// 1,168 once in 10,000 times for a perfect hash; the keys are fixed, so this never flickers.
func TestBucketsAreUniform(t *testing.T) {
	for name, key := range map[string]func(int) string{
		"numbers":  strconv.Itoa,
		"suffixes": func(i int) string { return "customer-0000-" + strconv.Itoa(i) },
		"prefixes": func(i int) string { return strconv.Itoa(i) + "@example.com" },
	} {
		for _, capability := range []string{"delivery", "delivery2", "billing"} {
			const n, cells = 200_000, 1_000
			var count [cells]float64
			for i := range n {
				count[bucket(hash64(hash64(0, capability), key(i)))*cells/1_000_000]++
			}
			chi := 0.0
			for _, c := range count {
				chi += (c - n/cells) * (c - n/cells) / (n / cells)
			}
			if chi > 1168 || chi < 840 {
				t.Errorf("%s of %s: chi-square %.0f over %d cells", name, capability, chi, cells)
			}
		}
	}
}

// One bit of a key changes half of the hash, and two capabilities choose their users independently.
func TestHashIsMixed(t *testing.T) {
	flipped, n := 0, 0
	for i := range 2_000 {
		key := []byte("some-user-" + strconv.Itoa(i))
		before := hash64(7, string(key))
		for bit := range len(key) * 8 {
			key[bit/8] ^= 1 << (bit % 8)
			flipped += bits.OnesCount64(before ^ hash64(7, string(key)))
			key[bit/8] ^= 1 << (bit % 8)
			n++
		}
	}
	if mean := float64(flipped) / float64(n); mean < 31.9 || mean > 32.1 {
		t.Errorf("a flipped bit changes %.2f bits on average, want 32", mean)
	}
	both, total := 0, 100_000
	a, b := hash64(0, "delivery"), hash64(0, "billing")
	for i := range total {
		if key := strconv.Itoa(i); bucket(hash64(a, key)) < 100_000 && bucket(hash64(b, key)) < 100_000 {
			both++
		}
	}
	if both < 850 || both > 1150 { // 1 % ± 5 standard deviations
		t.Errorf("%d of %d users are in the first 10 %% of two capabilities, want about 1,000", both, total)
	}
}
