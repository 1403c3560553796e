//! The gated delta rule: a convolution, normalised queries and keys, a state per sequence.

use super::layers::{WIDTH, Writer};
use super::tensors::Id;
use crate::catalogue::model::DeltaRule;

impl Writer<'_> {
    /// A delta layer.
    pub(super) fn delta(&mut self, normed: Id, rule: &DeltaRule) -> Id {
        let (tokens, sequences) = (self.reserve.tokens, self.reserve.sequences);
        let (keys, values) =
            (rule.key_heads.get() * rule.key_dim.get(), rule.value_heads.get() * rule.value_dim.get());
        let (mixed, taps) = (2 * keys + values, rule.conv.get() - 1);
        let (row, heads) = (tokens * WIDTH, rule.value_heads.get());
        let state = values * rule.key_dim.get() * sequences * WIDTH;

        let history = self.graph.result(taps * mixed * sequences * WIDTH, &[]);
        self.kept(history);
        let inputs = self.graph.result(row * mixed, &[normed]);
        let seen = [self.graph.view(history), self.graph.view(inputs)];
        let joined = self.graph.result((tokens + taps * sequences) * mixed * WIDTH, &seen);
        self.kept(joined);
        let before = self.graph.result(state, &[]);
        self.kept(before);
        let convolved = self.graph.result(row * mixed, &[joined]);
        let active = self.graph.overwrite(row * mixed, &[convolved]);
        let [query, key] = [(); 2].map(|()| {
            let part = self.graph.view(active);
            self.norm(part, row * keys)
        });
        let value = self.graph.view(active);

        let decay = self.graph.result(row * heads, &[normed]);
        let seen = self.graph.view(decay);
        let decay = self.graph.overwrite(row * heads, &[seen]);
        let decay = self.graph.overwrite(row * heads, &[decay]);
        let decay = self.graph.overwrite(row * heads, &[decay]);
        let beta = self.graph.result(row * heads, &[normed]);
        let seen = self.graph.view(beta);
        let beta = self.graph.overwrite(row * heads, &[seen]);

        let seen = [self.graph.view(decay), self.graph.view(before)];
        let out = self.graph.result(row * values + state, &[query, key, value, seen[0], beta, seen[1]]);
        self.kept(out);
        let attended = self.graph.view(out);
        let attended = self.norm(attended, row * values);
        let gate = self.graph.result(row * values, &[normed]);
        let seen = self.graph.view(gate);
        let gate = self.graph.overwrite(row * values, &[seen]);
        let gated = self.graph.overwrite(row * values, &[attended, gate]);
        let seen = self.graph.view(gated);
        let out = self.graph.result(row * self.hidden, &[seen]);
        self.graph.view(out)
    }

    /// A write of part of a tensor to the state that is kept.
    fn kept(&mut self, of: Id) {
        let part = self.graph.view(of);
        self.graph.sink(&[part]);
    }
}
