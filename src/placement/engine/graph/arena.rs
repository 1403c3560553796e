//! The allocator of ggml: where the tensors of a graph lie in one buffer.
//!
//! Free blocks are kept in the order of their addresses. A tensor takes the smallest block that
//! holds it, the later of equal ones; if none does, the last block, which has no end. Source:
//! `ggml/src/ggml-alloc.c` (`ggml_dyn_tallocr_alloc`, `ggml_dyn_tallocr_free_bytes`).

/// Tensors begin at multiples of this (`TENSOR_ALIGNMENT` of the CPU; 128 on CUDA).
const ALIGNMENT: u64 = 64;

/// A block of free addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Free {
    offset: u64,
    size: u64,
}

/// A buffer being planned.
#[derive(Debug)]
pub(super) struct Arena {
    free: Vec<Free>,
    peak: u64,
}

impl Arena {
    pub(super) fn new() -> Self {
        Self { free: vec![Free { offset: 0, size: u64::MAX / 2 }], peak: 0 }
    }

    /// The bytes the buffer needs.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// Takes room for a tensor and gives its address.
    pub(super) fn take(&mut self, bytes: u64) -> u64 {
        let size = bytes.next_multiple_of(ALIGNMENT);
        let last = self.free.len() - 1;
        let fits = self.free[..last].iter().enumerate().filter(|(_, block)| block.size >= size);
        // `min_by_key` keeps the first of equals, so the search goes from the end.
        let best = fits.rev().min_by_key(|(_, block)| block.size).map_or(last, |(place, _)| place);
        let block = &mut self.free[best];
        let offset = block.offset;
        block.offset += size;
        block.size -= size;
        if block.size == 0 {
            self.free.remove(best);
        }
        self.peak = self.peak.max(offset + size);
        offset
    }

    /// Gives the room of a tensor back, joined with free neighbours.
    pub(super) fn give(&mut self, offset: u64, bytes: u64) {
        let size = bytes.next_multiple_of(ALIGNMENT);
        let place = self.free.partition_point(|block| block.offset < offset);
        let before = place.checked_sub(1).filter(|at| self.free[*at].offset + self.free[*at].size == offset);
        let after = self.free.get(place).is_some_and(|block| offset + size == block.offset);
        match (before, after) {
            (Some(at), true) => {
                self.free[at].size += size + self.free[place].size;
                self.free.remove(place);
            }
            (Some(at), false) => self.free[at].size += size,
            (None, true) => {
                self.free[place].offset = offset;
                self.free[place].size += size;
            }
            (None, false) => self.free.insert(place, Free { offset, size }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_hole_that_fits_is_taken() {
        let mut arena = Arena::new();
        let places: Vec<u64> = [256, 64, 128, 64, 128, 64].into_iter().map(|size| arena.take(size)).collect();
        assert_eq!(places, [0, 256, 320, 448, 512, 640]);
        arena.give(0, 256);
        arena.give(320, 128);
        arena.give(512, 128);
        // Of the holes of 256, 128 and 128 the last that fits closest, then the other, then a new end.
        assert_eq!([arena.take(100), arena.take(128), arena.take(300)], [512, 320, 704]);
        assert_eq!(arena.peak(), 704 + 320);
    }

    #[test]
    fn neighbours_join() {
        let mut arena = Arena::new();
        for _ in 0..4 {
            arena.take(64);
        }
        arena.give(0, 64);
        arena.give(128, 64);
        arena.give(64, 64);
        assert_eq!(arena.free[0], Free { offset: 0, size: 192 });
        arena.give(192, 64);
        assert_eq!(arena.free, [Free { offset: 0, size: u64::MAX / 2 }]);
    }
}
