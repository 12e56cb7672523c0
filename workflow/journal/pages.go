package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// checkPages checks that the pages of a database are what they should be: that each is
// reached once, that keys are in order and lie where they are looked for, that nothing
// reaches out of its page, and that no page in use is taken for a free one. The database
// trusts in that: it panics, loops, or overwrites what it should not, if it is otherwise.
func checkPages(file io.ReaderAt, size int64, pageSize int) error {
	p := &pages{file: file, size: uint64(pageSize), used: make(map[uint64]bool)}
	m, err := p.meta()
	if err != nil {
		return err
	}
	if p.high = m.high; m.high > uint64(size)/p.size {
		return fmt.Errorf("it has %d bytes, want at least %d pages of %d", size, m.high, p.size)
	}
	if err := p.walk(m.root, bounds{}, true); err != nil {
		return err
	}
	return p.checkFree(m.free)
}

type pages struct {
	file io.ReaderAt
	size uint64 // of a page
	high uint64 // the number of pages
	used map[uint64]bool
}

// What a page begins with.
const (
	pageHeader    = 16
	elementHeader = 16
	bucketHeader  = 16

	branchPage = 0x01
	leafPage   = 0x02
	freePage   = 0x10

	bucketElement = 0x01
)

var native = binary.NativeEndian

// A meta says where everything is.
type meta struct{ root, free, high, tx uint64 }

// meta returns the newer of two. The database would be content with the older one, if the
// other is damaged, and forget what has been written since.
func (p *pages) meta() (newest meta, err error) {
	for i := range uint64(2) {
		page := make([]byte, pageHeader+64)
		if _, err := p.file.ReadAt(page, int64(i*p.size)); err != nil {
			return meta{}, fmt.Errorf("page %d: %w", i, err)
		}
		b := page[pageHeader:]
		sum := fnv.New64a()
		sum.Write(b[:56])
		if native.Uint64(b[56:]) != sum.Sum64() {
			return meta{}, fmt.Errorf("page %d: the checksum is wrong", i)
		}
		m := meta{root: native.Uint64(b[16:]), free: native.Uint64(b[32:]), high: native.Uint64(b[40:]), tx: native.Uint64(b[48:])}
		if m.tx >= newest.tx {
			newest = m
		}
	}
	return newest, nil
}

// bounds are what keys have to be in, with low, and without high. Nil is no bound.
type bounds struct{ low, high []byte }

// walk checks a page and those below it. Only the root of all has buckets.
func (p *pages) walk(id uint64, in bounds, isRoot bool) error {
	page, err := p.read(id)
	if err == nil {
		switch page.flags() {
		case branchPage:
			err = p.walkBranch(page, in, isRoot)
		case leafPage:
			err = p.walkLeaf(page, in, isRoot)
		default:
			err = fmt.Errorf("page %d: invalid flags %#x", id, page.flags())
		}
	}
	return err
}

func (p *pages) walkBranch(page page, in bounds, isRoot bool) error {
	elements, err := page.elements(branchElement)
	if err == nil && len(elements) == 0 {
		err = errors.New("it is empty")
	}
	if err == nil {
		err = in.check(elements)
	}
	if err != nil {
		return fmt.Errorf("page %d: %w", page.id(), err)
	}
	for i, e := range elements {
		below := bounds{e.key, in.high}
		if i+1 < len(elements) {
			below.high = elements[i+1].key
		}
		if err := p.walk(e.child, below, isRoot); err != nil {
			return err
		}
	}
	return nil
}

func (p *pages) walkLeaf(page page, in bounds, isRoot bool) error {
	elements, err := page.elements(leafElement)
	if err == nil {
		err = in.check(elements)
	}
	if err != nil {
		return fmt.Errorf("page %d: %w", page.id(), err)
	}
	for _, e := range elements {
		switch {
		case !isRoot && e.flags == 0:
		case isRoot && e.flags == bucketElement && len(e.value) >= bucketHeader:
			if err := p.walkBucket(e.value); err != nil {
				return err
			}
		default:
			return fmt.Errorf("page %d: an element has flags %#x and %d bytes", page.id(), e.flags, len(e.value))
		}
	}
	return nil
}

// walkBucket checks a bucket, which has pages of its own, or a part of this one.
func (p *pages) walkBucket(value []byte) error {
	if root := native.Uint64(value); root != 0 {
		return p.walk(root, bounds{}, false)
	}
	inline := page(value[bucketHeader:])
	if len(inline) < pageHeader || inline.flags() != leafPage {
		return errors.New("a bucket within a page has none")
	}
	return p.walkLeaf(inline, bounds{}, false)
}

// check checks that the keys of elements are in order and in bounds.
func (b bounds) check(elements []element) error {
	for i, e := range elements {
		if i == 0 && b.low != nil && bytes.Compare(e.key, b.low) < 0 ||
			i > 0 && bytes.Compare(e.key, elements[i-1].key) <= 0 ||
			b.high != nil && bytes.Compare(e.key, b.high) >= 0 {
			return fmt.Errorf("key %d of %d is not in order", i+1, len(elements))
		}
	}
	return nil
}

// checkFree checks that no page in use is said to be free.
func (p *pages) checkFree(id uint64) error {
	page, err := p.read(id)
	if err != nil {
		return err
	}
	ids, count := page[pageHeader:], uint64(page.count())
	if count == 0xffff { // The first one has it.
		count, ids = native.Uint64(ids), ids[8:]
	}
	if page.flags() != freePage || count > uint64(len(ids)/8) {
		return fmt.Errorf("page %d: invalid list of %d free pages with flags %#x", id, count, page.flags())
	}
	for i := range count {
		free := native.Uint64(ids[8*i:])
		if free < 2 || free >= p.high || p.used[free] {
			return fmt.Errorf("page %d: page %d is said to be free", id, free)
		}
		p.used[free] = true // Nor may it be free twice.
	}
	return nil
}

// read returns a page with those that it overflows into.
func (p *pages) read(id uint64) (page, error) {
	head := make(page, pageHeader)
	if id < 2 || id >= p.high {
		return nil, fmt.Errorf("page %d: want 2 to %d", id, p.high-1)
	}
	if _, err := p.file.ReadAt(head, int64(id*p.size)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	n := 1 + head.overflow()
	if head.id() != id || n > p.high-id {
		return nil, fmt.Errorf("page %d: it has id %d and overflows into %d others", id, head.id(), n-1)
	}
	for i := range n {
		if p.used[id+i] {
			return nil, fmt.Errorf("page %d: it is used twice", id+i)
		}
		p.used[id+i] = true
	}
	whole := make(page, n*p.size)
	if _, err := p.file.ReadAt(whole, int64(id*p.size)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return whole, nil
}

// A page is a page, with those that it overflows into.
type page []byte

func (p page) id() uint64       { return native.Uint64(p) }
func (p page) flags() uint16    { return native.Uint16(p[8:]) }
func (p page) count() uint16    { return native.Uint16(p[10:]) }
func (p page) overflow() uint64 { return uint64(native.Uint32(p[12:])) }

// An element is a key of a page, with a value or a page below.
type element struct {
	flags      uint32
	child      uint64
	key, value []byte
}

// elements returns the elements of a page, as a function finds them.
func (p page) elements(find func(header []byte) (e element, start, key, value uint64)) ([]element, error) {
	all := make([]element, p.count())
	end := uint64(pageHeader + elementHeader*len(all))
	for i := range all {
		at := uint64(pageHeader + elementHeader*i)
		if end > uint64(len(p)) {
			return nil, fmt.Errorf("it has no room for %d elements", len(all))
		}
		e, start, key, value := find(p[at:])
		start += at
		if start < end || start+key+value > uint64(len(p)) {
			return nil, fmt.Errorf("element %d reaches out of it", i+1)
		}
		e.key, e.value = p[start:start+key], p[start+key:start+key+value]
		all[i] = e
	}
	return all, nil
}

func branchElement(b []byte) (e element, start, key, value uint64) {
	e.child = native.Uint64(b[8:])
	return e, uint64(native.Uint32(b)), uint64(native.Uint32(b[4:])), 0
}

func leafElement(b []byte) (e element, start, key, value uint64) {
	e.flags = native.Uint32(b)
	return e, uint64(native.Uint32(b[4:])), uint64(native.Uint32(b[8:])), uint64(native.Uint32(b[12:]))
}
