//! Routers, priorities, failures and separate pools worked out by hand.

use super::super::super::levels::{Level, Levels};
use super::super::super::{Lengths, Load, Pools, separate_pools};
use super::*;
use crate::units::Seconds;

fn ends(found: &Simulated) -> Vec<(u16, f64)> {
    found.answered().iter().map(|one| (one.class, one.sent + one.end_to_end)).collect()
}

#[test]
fn important_requests_go_first_and_equals_in_turn() {
    let sessions = [(0.0, 0, 8, 3), (0.1, 0, 8, 1), (0.2, 1, 8, 1), (0.3, 1, 8, 2), (9.0, 0, 8, 1)];
    let traffic = requests(vec![class(0, 0), class(0, 7)], &sessions);
    let found = simulate(&SLOW, &MIXED, &Cluster::one(1), None, &traffic);
    // A prompt takes 1 s, and one slot serves one after the other.
    assert_eq!(ends(&found), [(0, 3.0), (1, 4.0), (1, 6.0), (0, 7.0), (0, 10.0)]);
    assert_eq!((found.classes[0].requests, found.classes[1].requests), (3, 2));
    // The low one waited for all others: 5.9 s; half of its class keep 1 s, four of five 5 s.
    let first_token = |most: f64, share| Levels {
        ttft: Some(Level { most_s: Seconds::new(most), share }),
        ..Levels::default()
    };
    close(found.goodput(&first_token(1.0, 1.0)), 0.4, 1e-12);
    assert!(found.keeps(&first_token(6.9, 1.0)) && !found.keeps(&first_token(6.8, 1.0)));
    assert!(found.keeps(&first_token(5.0, 0.8)) && !found.keeps(&first_token(5.0, 0.81)));
}

#[test]
fn a_step_takes_in_who_came_meanwhile() {
    // The second comes at 1.5 s, in the first decode step: its prompt joins the step from 2 s to 4 s.
    let traffic = requests(vec![class(0, 0)], &[(0.0, 0, 8, 5), (1.5, 0, 8, 2)]);
    let found = simulate(&SLOW, &MIXED, &Cluster::one(2), None, &traffic);
    assert_eq!(ends(&found), [(0, 6.0), (0, 5.0)].map(|e| e).iter().rev().copied().collect::<Vec<_>>());
    // The longest gap is that step.
    assert!(found.gaps.p99 >= 2.0 && found.gaps.p99 < 2.04, "{:?}", found.gaps);
    assert_eq!(found.counts.iterations, 5);
}

#[test]
fn a_failed_replica_loses_no_request() {
    // One on each; the first replica goes down at 4.5 s, with 1 + 3 tokens of its request.
    let traffic = requests(vec![class(0, 0)], &[(0.0, 0, 8, 10), (0.0, 0, 8, 20), (6.0, 0, 8, 1)]);
    let failures = vec![Failure { replica: 0, at: 4.5, repair: 100.0 }];
    let cluster = Cluster { replicas: 2, failures, router: Router::RoundRobin, ..Cluster::one(64) };
    let found = simulate(&SLOW, &MIXED, &cluster, None, &traffic);
    // The second computes the prompt again in the step from 5 s to 7 s, that of the third in that to 9 s:
    // 4 tokens by 5 s, one each by 7 s and 9 s. The first has 8 left, the second 14.
    assert_eq!(ends(&found), [(0, 9.0), (0, 9.0 + 8.0), (0, 9.0 + 13.0)]);
    assert_eq!((found.counts.restarts, found.counts.lost_tokens), (1, 4));
    assert_eq!(found.counts.computed_tokens, 31 + 4);
    // Alone, it waits for the repair and begins again: 100 s later.
    let alone = requests(vec![class(0, 0)], &[(0.0, 0, 8, 10)]);
    let found = simulate(&SLOW, &MIXED, &Cluster { replicas: 1, ..cluster.clone() }, None, &alone);
    assert_eq!(ends(&found), [(0, 104.5 + 10.0)]);
    // Without repair it is left.
    let failures = vec![Failure { replica: 0, at: 4.5, repair: f64::INFINITY }];
    let found = simulate(&SLOW, &MIXED, &Cluster { replicas: 1, failures, ..cluster }, None, &alone);
    assert_eq!((found.counts.left, found.counts.answered), (1, 0));
}

#[test]
fn sessions_that_stay_find_their_history() {
    let second = Turn { repeated: 13, ..turn(16, 1) };
    let session = |start: f64| Session { start, class: 0, turns: vec![turn(8, 5), second] };
    let sessions = (0..9).map(|n| session(f64::from(n) * 100.0)).collect();
    let traffic = Traffic { classes: vec![class(0, 0)], sessions, users: None };
    let hits = |router| {
        let cache = Some(Cache { block: 4, ..Cache::of_tokens(400, 4) });
        simulate(&SLOW, &MIXED, &Cluster { replicas: 3, cache, router, ..Cluster::one(4) }, None, &traffic)
            .hit_share
    };
    assert_eq!((hits(Router::SessionAffinity), hits(Router::RoundRobin)), (0.5, 0.0));
}

/// A prompt of 1000 tokens takes 100 ms, a step 10 ms.
const WORKER: Even = Even { decode: 0.010, token: 1e-4 };

fn pool(workers: u32) -> PrefillPool {
    let policy = Policy { mixed: false, splits_prompts: false, chunk: 16_384, api: 0.020, ..MIXED };
    PrefillPool { workers, policy, transfer: 0.050, transfer_per_token: 1e-5 }
}

#[test]
fn a_prompt_is_computed_moved_and_answered() {
    let traffic = requests(vec![class(0, 0)], &[(0.0, 0, 1000, 101), (0.0, 0, 1000, 101), (9.0, 0, 1000, 1)]);
    let found = simulate(&WORKER, &MIXED, &Cluster::one(64), Some(&pool(1)), &traffic);
    // Both prompts share a batch of 200 ms; 50 ms and 10 ms for the cache. One token needs no worker to decode.
    let first = 0.020 + 0.200 + 0.060;
    let times: Vec<f64> = found.answered().iter().map(|one| one.end_to_end).collect();
    assert!(
        times.iter().zip([first + 1.0, first + 1.0, 0.120]).all(|(a, b)| (a - b).abs() < 1e-9),
        "{times:?}"
    );
    close(found.all.ttft.p99, first, 1e-9);
    // A slot each: the second decodes after the first, on a second worker at once.
    let slots = |replicas| {
        simulate(&WORKER, &MIXED, &Cluster { replicas, ..Cluster::one(1) }, Some(&pool(1)), &traffic)
            .all
            .ttft
            .p99
    };
    close(slots(1), first + 1.0, 1e-9);
    close(slots(2), first, 1e-9);
}

#[test]
fn pools_agree_with_the_walk_that_shares_one_queue() {
    for (workers, decoding, users) in [(1, 1, 4), (1, 2, 16), (4, 1, 64), (3, 2, 64), (8, 2, 256)] {
        let load = Load {
            users,
            input: 1000,
            output: 300,
            lengths: Lengths::Uniform,
            requests: 10 * users,
            slots: 64,
        };
        let pools = Pools {
            prefill_workers: workers,
            decode_workers: decoding,
            prefill_groups: 1,
            chunk: 16_384,
            transfer: 0.060,
            api: 0.020,
            step: 0.0,
        };
        let walked = separate_pools(&WORKER, &WORKER, &pools, &load);
        let inputs = load.lengths.inputs(load.input, load.requests as usize);
        let outputs = load.lengths.outputs(load.output, load.requests as usize, true);
        let session = |(input, output): (&u64, &u64)| (0.0, 0, *input as u32, *output as u32);
        let sessions: Vec<_> = inputs.iter().zip(&outputs).map(session).collect();
        let traffic = Traffic { users: Some(users as u32), ..requests(vec![class(0, 0)], &sessions) };
        let cluster = Cluster { replicas: decoding as u32, ..Cluster::one(load.slots) };
        let found = simulate(&WORKER, &MIXED, &cluster, Some(&pool(workers as u32)), &traffic);
        // It decodes in a stream, workers here in steps: half of one to begin.
        close(found.all.ttft.mean, walked.ttft.mean, 0.04);
        close(found.all.tpot.mean, walked.tpot.mean, 1e-6);
        close(found.all.end_to_end.mean, walked.residence, 0.01);
    }
}
