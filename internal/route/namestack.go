package route

import "bytes"

// nameStack holds the folded names of the objects that a reader is in, all in
// one buffer: a body of many small objects would else cost a map for each.
type nameStack struct {
	text    []byte
	ends    []int // where each name ends in text
	objects []object
}

// object is where the names of one object begin, in ends.
type object struct {
	first int
	index map[string]bool // of all its names, once they are many
}

// manyNames is when looking through the names of an object gets dearer than a
// map of them.
const manyNames = 16

func (s *nameStack) open() {
	s.objects = append(s.objects, object{first: len(s.ends)})
}

func (s *nameStack) close() {
	last := len(s.objects) - 1
	s.ends = s.ends[:s.objects[last].first]
	s.text = s.text[:s.start(len(s.ends))]
	s.objects = s.objects[:last]
}

// start is where the i-th name begins in text.
func (s *nameStack) start(i int) int {
	if i == 0 {
		return 0
	}
	return s.ends[i-1]
}

// add adds a name to the innermost object. It returns false if it is there, in
// whatever letter case.
func (s *nameStack) add(name []byte) bool {
	begin := len(s.text)
	s.text = appendFold(s.text, string(name))
	folded := s.text[begin:]
	o := &s.objects[len(s.objects)-1]
	if o.index == nil && len(s.ends)-o.first >= manyNames {
		s.buildIndex(o)
	}
	if o.index != nil {
		if o.index[string(folded)] {
			return false
		}
		o.index[string(folded)] = true
	} else if s.among(o.first, folded) {
		return false
	}
	s.ends = append(s.ends, len(s.text))
	return true
}

func (s *nameStack) among(first int, folded []byte) bool {
	for i := first; i < len(s.ends); i++ {
		if bytes.Equal(s.text[s.start(i):s.ends[i]], folded) {
			return true
		}
	}
	return false
}

func (s *nameStack) buildIndex(o *object) {
	o.index = make(map[string]bool)
	for i := o.first; i < len(s.ends); i++ {
		o.index[string(s.text[s.start(i):s.ends[i]])] = true
	}
}
