//! Dense feed-forward and routed experts.

use super::layers::{WIDTH, Writer};
use super::tensors::Id;
use crate::catalogue::model::Experts;

impl Writer<'_> {
    /// A dense feed-forward on so many tokens.
    pub(super) fn dense(&mut self, normed: Id, tokens: u64, width: u64, ungated: bool) -> Id {
        let wide = tokens * width * WIDTH;
        let inner = if ungated {
            let up = self.graph.result(wide, &[normed]);
            self.graph.overwrite(wide, &[up])
        } else if self.fused() {
            // Files with one matrix for queries, keys and values have one for gate and up.
            let both = self.graph.result(2 * wide, &[normed]);
            self.graph.result(wide, &[both])
        } else {
            let (gate, up) = (self.graph.result(wide, &[normed]), self.graph.result(wide, &[normed]));
            self.graph.result(wide, &[gate, up])
        };
        self.graph.result(tokens * self.hidden * WIDTH, &[inner])
    }

    /// Routed experts with the shared ones beside them.
    pub(super) fn experts(&mut self, normed: Id, tokens: u64, experts: &Experts) -> Id {
        let (count, chosen) = (experts.count.get(), experts.active.get());
        let (row, narrow) = (tokens * WIDTH, tokens * chosen * WIDTH);
        let (wide, out) = (narrow * experts.width.get(), narrow * self.hidden);

        let logits = self.graph.result(row * count, &[normed]);
        let shares = self.graph.overwrite(row * count, &[logits]);
        let ranked = if experts.router_bias { self.graph.overwrite(row * count, &[shares]) } else { shares };
        let order = self.graph.result(row * count, &[ranked]);
        let best = self.graph.view(order);
        let seen = self.graph.view(shares);
        let weights = self.graph.result(narrow, &[seen, best]);
        let weights = self.graph.view(weights);
        let sum = self.graph.result(row, &[weights]);
        let sum = self.graph.overwrite(row, &[sum]);
        let weights = self.graph.overwrite(narrow, &[weights, sum]);
        let weights = self.graph.view(weights);

        let seen = self.graph.view(normed);
        let copied = (self.reserve.copied > 0).then(|| self.graph.result(self.reserve.copied, &[]));
        let fed: Vec<Id> = [seen, best].into_iter().chain(copied).collect();
        let inner = if experts.ungated {
            let up = self.graph.result(wide, &fed);
            self.graph.overwrite(wide, &[up])
        } else {
            let (gate, up) = (self.graph.result(wide, &fed), self.graph.result(wide, &fed));
            self.graph.result(wide, &[gate, up])
        };
        let down = self.graph.result(out, &[inner, best]);
        let weighed = self.graph.overwrite(out, &[down, weights]);
        let parts: Vec<Id> = (0..chosen).map(|_| self.graph.view(weighed)).collect();
        let bytes = row * self.hidden;
        let mut sum = parts[0];
        for (at, part) in parts.iter().enumerate().skip(1) {
            sum = match at {
                1 => self.graph.result(bytes, &[sum, *part]),
                _ => self.graph.overwrite(bytes, &[sum, *part]),
            };
        }
        if let Some(shared) = experts.shared_width {
            let beside = self.dense(normed, tokens, shared.get(), experts.ungated);
            sum = self.graph.overwrite(bytes, &[sum, beside]);
        }
        sum
    }
}
