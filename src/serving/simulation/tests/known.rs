//! Queues whose waits are known in closed form.

use super::*;

const COUNT: usize = 100_000;

/// Requests at exponential gaps with so many tokens each.
fn poisson(rate: f64, seed: u64, outputs: impl Iterator<Item = u32>) -> Traffic {
    let mut now = 0.0;
    let session = |(gap, output)| {
        now += gap / rate;
        (now, 0, 1000, output)
    };
    let sessions: Vec<_> = exponentials(COUNT, seed + 100).into_iter().zip(outputs).map(session).collect();
    requests(vec![class(0, 0)], &sessions)
}

/// One prompt per step and answers of one token: one server, a fixed service of 0.1 s, `M/D/1`. The mean
/// wait is `u s / (2 (1 - u))`.
#[test]
fn prompts_of_one_step_wait_as_in_a_queue_of_fixed_service() {
    let times = Even { decode: 1.0, token: 1e-4 };
    let policy = Policy { mixed: false, splits_prompts: false, chunk: 1000, ..MIXED };
    for use_of_server in [0.3, 0.7] {
        let traffic = poisson(use_of_server / 0.1, 1, std::iter::repeat(1));
        let found = simulate(&times, &policy, &Cluster::one(1), None, &traffic);
        let wait = use_of_server * 0.1 / (2.0 * (1.0 - use_of_server));
        close(found.all.ttft.mean - 0.1, wait, 0.02);
        close(found.utilisation, use_of_server, 0.01);
        // Of all who come, the share that finds the server at work waits.
        close(found.waiting, use_of_server * wait / 0.1, 0.02);
    }
}

/// Slots as servers: every sequence gains a token per step of 0.1 ms however many decode, and answers have an
/// exponential number of tokens, 10 000 on average: `M/M/c` of 1 s service. The mean wait is `C / (c - a)` with
/// Erlang's `C` for `a` requests a second.
#[test]
fn slots_are_servers_of_a_queue_with_exponential_service() {
    // Free prompts: a request takes its tokens times the step, and half of a step to begin.
    let times = Even { decode: 1e-4, token: 1e-12 };
    let found = |slots: u64, rate: f64, seed: u64| {
        let tokens =
            exponentials(COUNT, seed).into_iter().map(|drawn| (drawn * 10_000.0).round().max(1.0) as u32);
        let traffic = poisson(rate, seed, tokens);
        let found = simulate(&times, &MIXED, &Cluster::one(slots), None, &traffic);
        close(found.batch, rate, 0.01);
        // The same requests in the same queue.
        close(found.all.ttft.mean, wait_for_servers(&traffic, slots as usize), 0.005);
        found.all.ttft.mean
    };
    // One sample is off by a per cent, by several where servers are busy; five by half as much.
    for (slots, rate, erlang) in [(1, 0.6, 0.6), (2, 1.0, 1.0 / 3.0)] {
        let mean = (1..=5).map(|seed| found(slots, rate, seed)).sum::<f64>() / 5.0;
        close(mean, erlang / (slots as f64 - rate), 0.02);
    }
    found(8, 7.2, 1);
}

/// The mean wait of the same requests for one of so many servers: each takes the server that is free first
/// (Kiefer and Wolfowitz).
fn wait_for_servers(traffic: &Traffic, servers: usize) -> f64 {
    let mut free = vec![0.0_f64; servers];
    let wait = |session: &Session| {
        let next = free.iter_mut().min_by(|a, b| a.total_cmp(b)).expect("there are servers");
        let begins = next.max(session.start);
        *next = begins + f64::from(session.turns[0].output) * 1e-4;
        begins - session.start
    };
    traffic.sessions.iter().map(wait).sum::<f64>() / traffic.sessions.len() as f64
}
