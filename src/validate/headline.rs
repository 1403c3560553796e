//! The headline regimes: the twelve figures by which the planner is judged, each with its aim.
//!
//! A row belongs to at most one. Rows in doubt (more requests sent than ran, speculation on or
//! possible) belong to none, nor do rows of models outside the catalogue where the regime asks
//! about the architecture, nor those without a stated layout where it asks about the layout.

use super::Judged;
use super::facts::{Facts, Figure, Layout, Place};
use super::regimes::{Summary, summary};

/// Errors aimed at, as shares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aim {
    /// Median over groups with the shipped constants.
    pub median: f64,
    /// 90th percentile over groups with the shipped constants.
    pub p90: f64,
    /// Median over groups of models, and of machines, that were left out of the fit.
    pub left_out: f64,
}

impl Aim {
    /// An aim in per cent.
    const fn percent(median: u8, p90: u8, left_out: u8) -> Self {
        Self { median: median as f64 / 100.0, p90: p90 as f64 / 100.0, left_out: left_out as f64 / 100.0 }
    }
}

/// A headline regime.
#[derive(Clone, Copy, Debug)]
pub struct Headline {
    /// Its name for people.
    pub name: &'static str,
    /// The kinds of figure it holds.
    pub figures: &'static [Figure],
    /// Whether a row of such a figure belongs to it; rows in doubt are not asked.
    pub holds: fn(&Facts) -> bool,
    /// What it should reach.
    pub aim: Aim,
}

impl Headline {
    /// Whether a row belongs to it.
    pub fn has(&self, facts: &Facts) -> bool {
        facts.is_sound() && self.figures.contains(&facts.figure) && (self.holds)(facts)
    }
}

/// Figures of generated tokens.
const OUTPUT: &[Figure] = &[Figure::Tpot, Figure::Throughput];
/// Figures of prompts.
const PROMPT: &[Figure] = &[Figure::Ttft];

/// The headline regimes in the order they are shown.
pub const HEADLINES: [Headline; 12] = [
    Headline {
        name: "decode, dense, one GPU or unified memory, depth < 4k",
        figures: OUTPUT,
        holds: |row| is_one_stream(row) && !row.is_deep() && row.moe == Some(false),
        aim: Aim::percent(6, 15, 8),
    },
    Headline {
        name: "decode, MoE, one GPU or unified memory, depth < 4k",
        figures: OUTPUT,
        holds: |row| is_one_stream(row) && !row.is_deep() && row.moe == Some(true),
        aim: Aim::percent(8, 20, 10),
    },
    Headline {
        name: "decode, one GPU or unified memory, depth >= 4k",
        figures: OUTPUT,
        holds: |row| is_one_stream(row) && row.is_deep(),
        aim: Aim::percent(8, 20, 12),
    },
    Headline {
        name: "decode, CPU only and experts on CPU",
        figures: OUTPUT,
        holds: |row| !row.serving && uses_processor(row) && !row.is_batched(),
        aim: Aim::percent(10, 30, 20),
    },
    Headline {
        name: "prefill, GPU",
        figures: PROMPT,
        holds: |row| !row.serving && !uses_processor(row),
        aim: Aim::percent(12, 35, 20),
    },
    Headline {
        name: "prefill, CPU and hybrid",
        figures: PROMPT,
        holds: |row| !row.serving && uses_processor(row),
        aim: Aim::percent(20, 60, 30),
    },
    Headline {
        name: "decode, several GPUs, layer split or TP (local engines)",
        figures: OUTPUT,
        holds: |row| !row.serving && !uses_processor(row) && row.is_divided() && !row.is_batched(),
        aim: Aim::percent(8, 25, 12),
    },
    Headline {
        name: "batched output (local engines)",
        figures: OUTPUT,
        holds: |row| !row.serving && row.is_batched(),
        aim: Aim::percent(10, 30, 15),
    },
    Headline {
        name: "serving TPOT, aggregated, TP <= 8",
        figures: &[Figure::Tpot],
        holds: |row| row.serving && row.layout == Layout::Tensor,
        aim: Aim::percent(9, 25, 12),
    },
    Headline {
        name: "serving TPOT and throughput, attention-DP / EP / multi-node / disaggregated",
        figures: OUTPUT,
        holds: |row| row.serving && is_wide(row.layout) && !is_offline_maximum(row),
        aim: Aim::percent(10, 30, 16),
    },
    Headline {
        name: "offline maximum throughput",
        figures: &[Figure::Throughput],
        holds: |row| row.serving && is_offline_maximum(row),
        aim: Aim::percent(14, 40, 20),
    },
    Headline {
        name: "serving TTFT",
        figures: PROMPT,
        holds: |row| row.serving,
        aim: Aim::percent(17, 50, 22),
    },
];

/// One sequence on one device.
fn is_one_stream(row: &Facts) -> bool {
    !row.serving && !uses_processor(row) && !row.is_divided() && !row.is_batched()
}

/// Whether the processor reads weights.
fn uses_processor(row: &Facts) -> bool {
    match row.place {
        Place::Cpu | Place::Hybrid => true,
        Place::Unified | Place::Gpu => false,
    }
}

/// Layouts of serving beyond plain tensor parallelism.
fn is_wide(layout: Layout) -> bool {
    match layout {
        Layout::Expert | Layout::AttentionDp | Layout::MultiNode | Layout::Disaggregated => true,
        Layout::Single | Layout::Layer | Layout::Tensor | Layout::Unstated => false,
    }
}

/// Whether as many requests ran as give the most throughput.
fn is_offline_maximum(row: &Facts) -> bool {
    row.concurrency.is_none() && row.figure == Figure::Throughput
}

/// The headline regime of a row.
pub fn headline_of(facts: &Facts) -> Option<&'static Headline> {
    HEADLINES.iter().find(|headline| headline.has(facts))
}

/// Where a headline regime stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Its name.
    pub name: &'static str,
    /// What it should reach.
    pub aim: Aim,
    /// What it reaches.
    pub found: Summary,
}

/// Where every headline regime stands, those without rows too.
pub fn standings(rows: &[Judged]) -> Vec<Standing> {
    let standing = |headline: &Headline| {
        let own: Vec<&Judged> =
            rows.iter().filter(|row| row.facts.as_ref().is_some_and(|facts| headline.has(facts))).collect();
        Standing { name: headline.name, aim: headline.aim, found: summary(headline.name, "", &own) }
    };
    HEADLINES.iter().map(standing).collect()
}

#[cfg(test)]
mod tests {
    use super::super::facts::Doubt;
    use super::super::facts::tests::{LOCAL, SERVED};
    use super::*;

    fn place_of(facts: Facts) -> Option<usize> {
        let found: Vec<usize> =
            HEADLINES.iter().enumerate().filter_map(|(at, h)| h.has(&facts).then_some(at)).collect();
        assert!(found.len() < 2, "{facts:?} is in several: {found:?}");
        found.first().copied()
    }

    #[test]
    fn every_headline_regime_has_its_rows() {
        let processor = Facts { place: Place::Cpu, devices: 0, ..LOCAL };
        let hybrid = Facts { place: Place::Hybrid, moe: Some(true), ..LOCAL };
        let prefill = Facts { figure: Figure::Ttft, ..LOCAL };
        let unified = Facts { place: Place::Unified, ..LOCAL };
        let divided = Facts { devices: 4, layout: Layout::Layer, ..LOCAL };
        let batched = Facts { concurrency: Some(8.0), figure: Figure::Throughput, ..LOCAL };
        let all = |figure| Facts { figure, ..SERVED };
        let maximum = Facts { concurrency: None, ..all(Figure::Throughput) };
        let cases = [
            (0, vec![LOCAL, unified, Facts { figure: Figure::Throughput, ..LOCAL }]),
            (1, vec![Facts { moe: Some(true), ..LOCAL }, Facts { moe: Some(true), ..unified }]),
            (2, vec![Facts { depth: 4096.0, ..LOCAL }, Facts { depth: 1e5, moe: None, ..unified }]),
            (3, vec![processor, hybrid, Facts { depth: 8192.0, ..hybrid }, Facts { devices: 2, ..hybrid }]),
            (4, vec![prefill, Facts { place: Place::Unified, ..prefill }, Facts { devices: 2, ..prefill }]),
            (5, vec![Facts { figure: Figure::Ttft, ..processor }, Facts { figure: Figure::Ttft, ..hybrid }]),
            (6, vec![divided, Facts { depth: 8192.0, layout: Layout::Tensor, ..divided }]),
            (7, vec![batched, Facts { figure: Figure::Tpot, ..batched }, Facts { devices: 2, ..batched }]),
            (8, vec![SERVED, Facts { concurrency: Some(1.0), devices: 1, ..SERVED }]),
            (
                9,
                [Layout::Expert, Layout::AttentionDp, Layout::MultiNode, Layout::Disaggregated]
                    .into_iter()
                    .flat_map(|layout| {
                        OUTPUT.iter().map(move |figure| Facts { layout, figure: *figure, ..SERVED })
                    })
                    .collect(),
            ),
            (10, vec![maximum, Facts { layout: Layout::Unstated, ..maximum }]),
            (11, vec![all(Figure::Ttft), Facts { layout: Layout::Disaggregated, ..all(Figure::Ttft) }]),
        ];
        for (at, rows) in cases {
            for row in rows {
                assert_eq!(place_of(row), Some(at), "{}: {row:?}", HEADLINES[at].name);
            }
        }
    }

    #[test]
    fn what_is_in_doubt_or_unknown_is_in_none() {
        for doubt in [Doubt::Queueing, Doubt::Speculative] {
            assert_eq!(place_of(Facts { doubt, ..SERVED }), None);
            assert_eq!(place_of(Facts { doubt, figure: Figure::Ttft, ..SERVED }), None);
        }
        assert_eq!(place_of(Facts { moe: None, ..LOCAL }), None);
        assert_eq!(place_of(Facts { layout: Layout::Unstated, ..SERVED }), None);
        // Throughput of plain tensor parallelism at a stated load follows from its TPOT.
        assert_eq!(place_of(Facts { figure: Figure::Throughput, ..SERVED }), None);
    }
}
