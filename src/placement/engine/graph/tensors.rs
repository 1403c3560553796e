//! The tensors of a graph in the order they are computed, and the buffer that holds them.
//!
//! Inputs lie in the buffer from the start. A result takes the place of an operand it may overwrite
//! (same layout, read by nobody else, no view), else new room; an operand is freed after its last
//! reader. A view holds its tensor until the last reader of the view; a view nobody reads holds it
//! to the end. Source: `ggml/src/ggml-alloc.c` (`ggml_gallocr_alloc_graph_impl`).

use super::arena::Arena;
use crate::units::Bytes;

/// A tensor of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(usize);

#[derive(Clone, Debug)]
struct Node {
    bytes: u64,
    sources: Vec<Id>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Input,
    /// An input that is never freed: nothing in the graph reads it.
    Idle,
    Result,
    /// A result that may overwrite an operand.
    Overwriting,
    View(Id),
    /// Writes to memory outside the buffer: caches and states.
    Sink,
}

/// A graph being written down.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    fn push(&mut self, bytes: u64, sources: &[Id], kind: Kind) -> Id {
        self.nodes.push(Node { bytes, sources: sources.to_vec(), kind });
        Id(self.nodes.len() - 1)
    }

    /// A tensor filled before the graph runs.
    pub(super) fn input(&mut self, bytes: u64) -> Id {
        self.push(bytes, &[], Kind::Input)
    }

    /// A tensor kept for another way to run the graph.
    pub(super) fn idle(&mut self, bytes: u64) {
        self.push(bytes, &[], Kind::Idle);
    }

    /// A result in room of its own.
    pub(super) fn result(&mut self, bytes: u64, sources: &[Id]) -> Id {
        self.push(bytes, sources, Kind::Result)
    }

    /// A result of an operation that can work in place.
    pub(super) fn overwrite(&mut self, bytes: u64, sources: &[Id]) -> Id {
        self.push(bytes, sources, Kind::Overwriting)
    }

    /// The same memory seen in another shape.
    pub(super) fn view(&mut self, of: Id) -> Id {
        self.view_after(of, &[])
    }

    /// A view written through by an operation that reads `others` too.
    pub(super) fn view_after(&mut self, of: Id, others: &[Id]) -> Id {
        let root = self.root(of);
        let sources = [&[of], others].concat();
        self.push(self.nodes[of.0].bytes, &sources, Kind::View(root))
    }

    /// A write to memory outside the buffer.
    pub(super) fn sink(&mut self, sources: &[Id]) {
        self.push(0, sources, Kind::Sink);
    }

    fn root(&self, id: Id) -> Id {
        match self.nodes[id.0].kind {
            Kind::View(root) => root,
            Kind::Input | Kind::Idle | Kind::Result | Kind::Overwriting | Kind::Sink => id,
        }
    }

    /// Bytes of the buffer that runs the graph.
    pub(super) fn buffer(&self) -> Bytes {
        let count = self.nodes.len();
        let (mut readers, mut views) = (vec![0_u32; count], vec![0_u32; count]);
        let mut placed: Vec<Option<u64>> = vec![None; count];
        let mut arena = Arena::new();
        for (node, place) in self.nodes.iter().zip(&mut placed) {
            match node.kind {
                Kind::Input | Kind::Idle => *place = Some(arena.take(node.bytes)),
                Kind::View(root) => views[root.0] += 1,
                Kind::Result | Kind::Overwriting | Kind::Sink => {}
            }
            for source in &node.sources {
                readers[source.0] += 1;
            }
        }
        for (at, node) in self.nodes.iter().enumerate() {
            if matches!(node.kind, Kind::Result | Kind::Overwriting) {
                let operand = node.sources.iter().find(|source| {
                    let other = &self.nodes[source.0];
                    node.kind == Kind::Overwriting
                        && other.bytes == node.bytes
                        && !matches!(other.kind, Kind::View(_))
                        && readers[source.0] == 1
                        && views[source.0] == 0
                        && placed[source.0].is_some()
                });
                placed[at] = match operand {
                    Some(operand) => placed[operand.0].take(),
                    None => Some(arena.take(node.bytes)),
                };
            }
            for source in &node.sources {
                readers[source.0] -= 1;
                if readers[source.0] > 0 || views[source.0] > 0 {
                    continue;
                }
                let owner = self.root(*source);
                if owner != *source {
                    views[owner.0] -= 1;
                }
                if views[owner.0] == 0
                    && readers[owner.0] == 0
                    && let Some(offset) = placed[owner.0].take()
                {
                    arena.give(offset, self.nodes[owner.0].bytes);
                }
            }
        }
        Bytes::new(arena.peak() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_are_overwritten_or_freed() {
        // 128 in, 256 out of it, overwritten in place, summed down to 64: 128 + 256, then the input
        // is free and the sum takes its room.
        let mut graph = Graph::default();
        let input = graph.input(128);
        let wide = graph.result(256, &[input]);
        let same = graph.overwrite(256, &[wide]);
        graph.result(64, &[same]);
        assert_eq!(graph.buffer(), Bytes::new(384.0));
    }

    #[test]
    fn views_hold_their_tensor() {
        let mut graph = Graph::default();
        let input = graph.input(64);
        let first = graph.result(64, &[input]);
        let seen = graph.view(first);
        // Through a view nothing is overwritten: the second takes the room the input left, and the sum
        // begins where the first lay. Overwritten, it would begin behind it: 256.
        let second = graph.overwrite(64, &[seen]);
        graph.result(128, &[second]);
        assert_eq!(graph.buffer(), Bytes::new(64.0 + 128.0));
    }
}
