//! The simulation and its closed form against each other, and laws both must keep.

use super::*;
use proptest::prelude::*;

/// Step times of a made-up replica: a decode step takes `weights + sequences each`, or the
/// arithmetic where that is longer; a prompt step reads the weights and computes its tokens.
#[derive(Clone, Copy, Debug)]
struct Shape {
    weights: f64,
    each: f64,
    token: f64,
}

impl StepTimes for Shape {
    fn decode(&self, sequences: f64) -> f64 {
        self.weights + self.each * sequences
    }

    fn prefill(&self, tokens: f64) -> f64 {
        // The longer of reading and computing, rounded at the corner.
        let (read, compute) = (self.weights, self.token * tokens);
        (read * read + compute * compute).sqrt()
    }
}

/// A dense model of 8 B on one accelerator, one of 70 B on eight, and a mixture of experts.
const SHAPES: [Shape; 3] = [
    Shape { weights: 0.006, each: 40e-6, token: 25e-6 },
    Shape { weights: 0.014, each: 60e-6, token: 45e-6 },
    Shape { weights: 0.020, each: 150e-6, token: 30e-6 },
];

const MIXED: Policy = Policy {
    mixed: true,
    splits_prompts: true,
    overlap: 0.5,
    chunk: 8192,
    groups: 1,
    hold: 0,
    step: 0.0,
    api: 0.010,
    poll: 1,
};

const PROMPTS_FIRST: Policy = Policy { mixed: false, overlap: 0.0, chunk: 16384, step: 0.004, ..MIXED };

const fn load(users: u64, input: u64, output: u64) -> Load {
    let requests = 10 * users;
    Load { users, input, output, lengths: Lengths::Uniform, requests, slots: 4096 }
}

struct Point {
    what: String,
    closed: Steady,
    walked: Outcome,
}

fn points() -> Vec<Point> {
    let mut points = Vec::new();
    for shape in SHAPES {
        for policy in [MIXED, PROMPTS_FIRST] {
            for (input, output) in [(920, 920), (920, 7400), (7400, 920), (300, 300)] {
                for users in [1, 4, 16, 64, 256] {
                    let load = load(users, input, output);
                    let grid = Grid::new(&shape, users, policy.chunk);
                    points.push(Point {
                        what: format!("{shape:?} mixed {} {users} users {input}/{output}", policy.mixed),
                        closed: steady(&grid, &policy, &load),
                        walked: closed_loop(&grid, &policy, &load),
                    });
                }
            }
        }
    }
    points
}

#[test]
fn probe() {
    let mut e: Vec<(f64, f64, f64, f64, String)> = points()
        .iter()
        .map(|p| {
            (
                p.closed.tpot / p.walked.tpot.mean - 1.0,
                (p.closed.ttft + p.closed.burst) / p.walked.ttft.mean - 1.0,
                p.closed.ttft / p.walked.ttft.median - 1.0,
                p.closed.output_rate / p.walked.output_rate - 1.0,
                format!("{} share {:.2} {:.2}", p.what, p.closed.prompt_share, p.walked.prompt_share),
            )
        })
        .collect();
    for (i, name) in ["tpot", "ttft mean", "ttft median", "rate"].iter().enumerate() {
        let get = |x: &(f64, f64, f64, f64, String)| [x.0, x.1, x.2, x.3][i];
        e.sort_by(|a, b| get(a).abs().total_cmp(&get(b).abs()));
        let n = e.len();
        println!(
            "{name}: n {n} median {:.4} p90 {:.4} worst {:.4}",
            get(&e[n / 2]).abs(),
            get(&e[n * 9 / 10]).abs(),
            get(&e[n - 1]).abs()
        );
        for x in &e[n - 12..] {
            println!("   {:+.3} {}", get(x), x.4);
        }
    }
}
