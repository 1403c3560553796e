//! The simulation and its closed form against each other, and laws both must keep.

use super::belief::{Doubt, doubts};
use super::*;
use crate::units::math;
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

const WHOLE_PROMPTS: Policy = Policy { splits_prompts: false, ..MIXED };

const PROMPTS_FIRST: Policy = Policy { mixed: false, overlap: 0.0, chunk: 16384, step: 0.004, ..MIXED };

const fn load(users: u64, input: u64, output: u64) -> Load {
    let requests = 10 * users;
    Load { users, input, output, lengths: Lengths::Uniform, requests, slots: 4096 }
}

fn steady(times: &impl StepTimes, policy: &Policy, load: &Load) -> Steady {
    PromptTimes::new(times, *policy, load.input).steady(load)
}

struct Point {
    closed: Steady,
    walked: Outcome,
}

fn points() -> Vec<Point> {
    let mut points = Vec::new();
    for shape in SHAPES {
        for policy in [MIXED, WHOLE_PROMPTS, PROMPTS_FIRST] {
            for (input, output) in [(920, 920), (920, 7400), (7400, 920), (300, 300)] {
                for users in [1, 4, 16, 64, 256] {
                    let load = load(users, input, output);
                    let grid = Grid::new(&shape, users, policy.chunk);
                    points.push(Point {
                        closed: steady(&grid, &policy, &load),
                        walked: closed_loop(&grid, &policy, &load),
                    });
                }
            }
        }
    }
    points
}

/// Median, 90th of 100 and worst of the absolute values.
fn errors(points: &[Point], error: impl Fn(&Point) -> f64) -> [f64; 3] {
    let mut errors: Vec<f64> = points.iter().map(|point| error(point).abs()).collect();
    errors.sort_by(f64::total_cmp);
    [errors.len() / 2, errors.len() * 9 / 10, errors.len() - 1].map(|at| errors[at])
}

#[test]
fn the_closed_form_agrees_with_the_walk() {
    let points = points();
    assert_eq!(points.len(), 180);
    let tpot = errors(&points, |p| p.closed.tpot / p.walked.tpot.mean - 1.0);
    let mean = errors(&points, |p| (p.closed.ttft + p.closed.burst) / p.walked.ttft.mean - 1.0);
    let median = errors(&points, |p| p.closed.ttft / p.walked.ttft.median - 1.0);
    let rate = errors(&points, |p| p.closed.output_rate / p.walked.output_rate - 1.0);
    let share = errors(&points, |p| p.closed.prompt_share - p.walked.prompt_share);
    let found = format!("tpot {tpot:.4?} ttft {mean:.4?} {median:.4?} rate {rate:.4?} share {share:.4?}");
    assert!(tpot[0] < 0.006 && tpot[2] < 0.06, "{found}");
    assert!(mean[0] < 0.04 && mean[2] < 0.15, "{found}");
    // The walk's median sees the waves of the first requests, the steady state does not.
    assert!(median[0] < 0.06 && median[2] < 0.40, "{found}");
    assert!(rate[0] < 0.025 && rate[2] < 0.08, "{found}");
    assert!(share[2] < 0.06, "{found}");
}

#[test]
fn the_closed_form_holds_for_prompts_of_many_steps() {
    let lengths = [(30_000, 920), (100_000, 1000)];
    for (policy, (input, output)) in [MIXED, PROMPTS_FIRST].iter().flat_map(|p| lengths.map(|l| (p, l))) {
        for users in [1, 4, 16, 64] {
            let load = load(users, input, output);
            let (closed, walked) =
                (steady(&SHAPES[1], policy, &load), closed_loop(&SHAPES[1], policy, &load));
            let found = format!("{users} users, {input} tokens: {closed:?} {walked:?}");
            assert!((closed.tpot / walked.tpot.mean - 1.0).abs() < 0.10, "{found}");
            assert!(((closed.ttft + closed.burst) / walked.ttft.mean - 1.0).abs() < 0.22, "{found}");
            assert!((closed.output_rate / walked.output_rate - 1.0).abs() < 0.05, "{found}");
        }
    }
}

/// DeepSeek R1 on eight H200, attention in eight groups: 30 ms a decode step, 1.5 s for a prompt of
/// 7400 tokens in every group.
const GROUPED: Shape = Shape { weights: 0.028, each: 30e-6, token: 200e-6 };

#[test]
fn holding_prompts_back_until_every_group_has_one_saves_most_of_their_time() {
    let load = load(64, 7400, 920);
    let held = |hold| closed_loop(&GROUPED, &Policy { groups: 8, hold, ..MIXED }, &load);
    let (at_once, gathered) = (held(0), held(60));
    assert!(at_once.tpot.mean > 2.2 * gathered.tpot.mean, "{at_once:?} {gathered:?}");
    // At most the longest hold is paid for it in waiting, at the pace of plain decode steps.
    assert!(gathered.ttft.median < at_once.ttft.median + 60.0 * GROUPED.decode(64.0));
    assert!(gathered.output_rate > 1.8 * at_once.output_rate);
}

#[test]
fn the_closed_form_knows_groups_that_hold_prompts_back() {
    for (policy, users) in [MIXED, PROMPTS_FIRST].iter().flat_map(|p| [16, 64, 256].map(|u| (p, u))) {
        let policy = Policy { groups: 8, hold: 60, ..*policy };
        let load = load(users, 7400, 920);
        let (closed, walked) = (steady(&GROUPED, &policy, &load), closed_loop(&GROUPED, &policy, &load));
        let found = format!("{users} users: {closed:?} {walked:?}");
        assert!((closed.tpot / walked.tpot.mean - 1.0).abs() < 0.15, "{found}");
        assert!(((closed.ttft + closed.burst) / walked.ttft.mean - 1.0).abs() < 0.25, "{found}");
    }
}

#[test]
fn equal_lengths_stay_in_step_where_prompts_go_first() {
    let load = Load { lengths: Lengths::Fixed, ..load(16, 920, 920) };
    let shape = SHAPES[1];
    // All 16 prompts fit one step: nobody decodes meanwhile, everybody waits for all of them.
    let first = closed_loop(&shape, &PROMPTS_FIRST, &load);
    assert!((first.tpot.mean / shape.decode(16.0) - 1.0).abs() < 1e-9, "{first:?}");
    let burst = PROMPTS_FIRST.api + shape.prefill(16.0 * 920.0) + PROMPTS_FIRST.step;
    assert!((first.ttft.median / burst - 1.0).abs() < 1e-9, "{first:?}");
    // A mixed engine drifts apart and pays as with lengths that differ.
    let mixed = closed_loop(&shape, &MIXED, &load);
    assert!((mixed.tpot.mean / steady(&shape, &MIXED, &load).tpot - 1.0).abs() < 0.02, "{mixed:?}");
    assert!(mixed.ttft.median < 0.3 * first.ttft.median, "{mixed:?}");
}

#[test]
fn users_beyond_the_slots_wait() {
    let full = Load { slots: 32, ..load(96, 920, 920) };
    let (walked, closed) = (closed_loop(&SHAPES[1], &MIXED, &full), steady(&SHAPES[1], &MIXED, &full));
    let fitting = closed_loop(&SHAPES[1], &MIXED, &load(32, 920, 920));
    assert!((walked.tpot.mean / fitting.tpot.mean - 1.0).abs() < 0.02, "{walked:?} {fitting:?}");
    assert!((walked.output_rate / closed.output_rate - 1.0).abs() < 0.05, "{walked:?} {closed:?}");
    // The first third waits for nothing, and the run ends before the wait is steady.
    let wait = walked.ttft.median / closed.ttft;
    assert!((0.85..1.05).contains(&wait), "{walked:?} {closed:?}");
}

/// Moments of independent requests at a mean rate: exponential gaps.
fn poisson(rate: f64, count: usize) -> Vec<f64> {
    let (mut state, mut now) = (7, 0.0);
    let gap = || {
        let uniform = lengths::chance(&mut state) as f64 / u64::MAX as f64;
        now -= math::ln(uniform.max(1e-12)) / rate;
        now
    };
    std::iter::repeat_with(gap).take(count).collect()
}

#[test]
fn the_open_loop_agrees_with_a_walk_through_independent_requests() {
    for policy in [MIXED, PROMPTS_FIRST] {
        let load = Load { slots: 256, ..load(100, 920, 920) };
        // Refused from 6.7 a second.
        for rate in [0.5, 2.0, 5.0] {
            let open = open_loop(&SHAPES[1], &policy, &load, rate).expect("below the limit");
            let walked =
                simulation::simulate_load(&SHAPES[1], &policy, &load, Some(&poisson(rate, 4000))).all;
            let found = format!("{rate}: {open:?} {walked:?}");
            assert!((open.tpot / walked.tpot.mean - 1.0).abs() < 0.04, "{found}");
            assert!((open.ttft / walked.ttft.mean - 1.0).abs() < 0.04, "{found}");
            assert!((open.ttft_exceeded_by(0.05) / walked.ttft.p95 - 1.0).abs() < 0.16, "{found}");
        }
    }
}

/// A closed form and the simulation of the same requests, with what speaks against the first.
struct Compared {
    doubts: Vec<Doubt>,
    /// Relative errors of the closed form: mean time to the first token, its 95th percentile, time per token.
    errors: [f64; 3],
}

/// Requests at rates up to nine tenths of the most, on slots that 64 or 256 sequences fill.
fn compared() -> Vec<Compared> {
    let mut compared = Vec::new();
    let settings = SHAPES.into_iter().flat_map(|shape| [MIXED, PROMPTS_FIRST].map(|policy| (shape, policy)));
    for (shape, policy) in settings {
        for (input, output) in [(920, 920), (7400, 920), (300, 300), (200, 2000)] {
            for slots in [64, 256] {
                let grid = Grid::new(&shape, slots, policy.chunk);
                let load = Load { slots, ..load(1, input, output) };
                let most = open_loop(&grid, &policy, &load, 1e9).expect_err("a billion a second").most;
                for share in [0.2, 0.5, 0.7, 0.8, 0.9] {
                    let Ok(open) = open_loop(&grid, &policy, &load, share * most) else { continue };
                    let moments = poisson(share * most, 3000);
                    let found = simulation::simulate_load(&grid, &policy, &load, Some(&moments)).all;
                    let errors = [
                        open.ttft / found.ttft.mean,
                        open.ttft_exceeded_by(0.05) / found.ttft.p95,
                        open.tpot / found.tpot.mean,
                    ];
                    let doubts = doubts(open.in_flight, slots, open.utilisation, 0.004);
                    compared.push(Compared { doubts, errors: errors.map(|ratio| (ratio - 1.0).abs()) });
                }
            }
        }
    }
    compared
}

#[test]
fn the_closed_form_is_doubted_where_the_simulation_differs() {
    let compared = compared();
    let worst = |doubted: bool, of: usize| {
        let those = compared.iter().filter(|one| one.doubts.is_empty() != doubted);
        those.map(|one| one.errors[of]).fold(0.0, f64::max)
    };
    let trusted = [0, 1, 2].map(|of| worst(false, of));
    assert!(trusted[0] < 0.22 && trusted[1] < 0.25 && trusted[2] < 0.03, "{trusted:?}");
    let mut typical: Vec<f64> =
        compared.iter().filter(|one| one.doubts.is_empty()).map(|one| one.errors[0]).collect();
    typical.sort_by(f64::total_cmp);
    assert!(typical[typical.len() / 2] < 0.02, "{}", typical[typical.len() / 2]);
    // Doubts are worth it: where they are, the time to the first token can be far off.
    assert!(worst(true, 0) > 0.5, "{}", worst(true, 0));
    let trusted = compared.iter().filter(|one| one.doubts.is_empty()).count();
    assert!(trusted * 2 > compared.len(), "{trusted} of {}", compared.len());
}

#[test]
fn two_walks_give_the_same_bytes() {
    for policy in [MIXED, PROMPTS_FIRST, Policy { groups: 4, hold: 30, poll: 10, ..PROMPTS_FIRST }] {
        let load = load(48, 3000, 500);
        assert_eq!(closed_loop(&SHAPES[2], &policy, &load), closed_loop(&SHAPES[2], &policy, &load));
    }
}

fn policies() -> impl Strategy<Value = Policy> {
    let kind = prop_oneof![Just(MIXED), Just(WHOLE_PROMPTS), Just(PROMPTS_FIRST)];
    (kind, 0..4_u32, 0..40_u64, 1..20_u64).prop_map(|(policy, groups, hold, poll)| Policy {
        groups: 1 << groups,
        hold,
        poll,
        ..policy
    })
}

fn shapes() -> impl Strategy<Value = Shape> {
    (1e-3..0.05_f64, 1e-6..2e-4_f64, 2e-6..1e-4_f64).prop_map(|(weights, each, token)| Shape {
        weights,
        each,
        token,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Users = rate x residence, where all users have a request under way.
    #[test]
    fn littles_law_holds(
        policy in policies(), shape in shapes(),
        users in 1..80_u64, input in 20..20_000_u64, output in 10..1000_u64, slots in 4..100_u64,
    ) {
        let load = Load { slots, requests: 60 * users, ..load(users, input, output) };
        let walked = closed_loop(&shape, &policy, &load);
        let users_seen = walked.steady_rate / output as f64 * walked.residence;
        prop_assert!((users_seen / users as f64 - 1.0).abs() < 0.06, "{users_seen} of {users}: {walked:?}");
        prop_assert!(walked.batch <= slots as f64 + 1e-9);
        prop_assert!(walked.prompt_share >= 0.0 && walked.prompt_share < 1.0);
        // No token comes faster than a sequence alone.
        prop_assert!(walked.tpot.median >= shape.decode(1.0) * (1.0 - 1e-9));
        prop_assert!(walked.ttft.mean >= policy.api);
    }

    #[test]
    fn more_slots_never_cost_much(
        policy in policies(), shape in shapes(),
        users in 4..100_u64, slots in 2..50_u64, more in 1..50_u64,
    ) {
        let rate = |slots| closed_loop(&shape, &policy, &Load { slots, ..load(users, 500, 300) }).output_rate;
        prop_assert!(rate(slots + more) > 0.9 * rate(slots));
    }

    /// Reading the weights once for more sequences pays.
    #[test]
    fn throughput_grows_with_users_where_weights_bound_the_step(
        weights in 0.005..0.05_f64, users in 1..100_u64, more in 1.3..3.0_f64, mixed in any::<bool>(),
    ) {
        let shape = Shape { weights, each: 1e-6, token: 1e-6 };
        let policy = if mixed { MIXED } else { PROMPTS_FIRST };
        let rate = |users| closed_loop(&shape, &policy, &load(users, 300, 500)).output_rate;
        prop_assert!(rate((users as f64 * more).ceil() as u64) > rate(users));
    }

    #[test]
    fn pools_answer_all_requests_at_no_more_than_either_can_do(
        shape in shapes(), prefill_workers in 1..8_u64, decode_workers in 1..8_u64,
        users in 1..200_u64, slots in 4..100_u64, groups in 1..8_u64,
    ) {
        let pools = Pools {
            prefill_workers, decode_workers, prefill_groups: groups,
            chunk: 8192, transfer: 0.05, api: 0.01, step: 0.001,
        };
        let load = Load { slots, requests: 20 * users, ..load(users, 2000, 300) };
        let walked = separate_pools(&shape, &shape, &pools, &load);
        // Prompts at the price per token of the largest step, with a little for uneven lengths.
        let prefill = (prefill_workers * groups) as f64 / (2000.0 * shape.token);
        let decode = (decode_workers * slots) as f64 / (299.0 * shape.decode(slots as f64));
        prop_assert!(walked.steady_rate / 300.0 <= 1.06 * prefill.min(decode), "{walked:?}");
        prop_assert!(walked.prompt_share <= 1.0);
        let users_seen = walked.output_rate / 300.0 * walked.residence;
        prop_assert!(users_seen <= users as f64 * 1.001, "{users_seen} of {users}");
    }
}
