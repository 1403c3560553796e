//! Blocks, preemption and prefixes worked out by hand.

use super::*;

fn cluster(blocks: u64, reserve: Reserve, prefixes: bool) -> Cluster {
    Cluster { cache: Some(Cache { block: 4, blocks, reserve, prefixes }), ..Cluster::one(64) }
}

fn ends(found: &Simulated) -> Vec<f64> {
    found.answered().iter().map(|one| one.sent + one.end_to_end).collect()
}

#[test]
fn one_who_reserves_the_whole_answer_waits_for_it() {
    // 8 + 12 tokens are 5 of 6 blocks: one after the other, each a prompt of 1 s and 11 steps.
    let traffic = requests(vec![class(0, 0)], &[(0.0, 0, 8, 12), (0.0, 0, 8, 12)]);
    let found = simulate(&SLOW, &MIXED, &cluster(6, Reserve::Whole, false), None, &traffic);
    assert_eq!(ends(&found), [12.0, 24.0]);
    assert_eq!((found.counts.preemptions, found.counts.blocks_allocated), (0, 10));
}

#[test]
fn where_blocks_run_out_the_last_admitted_is_computed_again() {
    // Both prompts take 2 s and 4 of 6 blocks, the first step the other two, which last four steps. At 6 s the
    // second gives way with 5 tokens; the first ends 11 steps after its prompt, at 13 s. The second computes
    // 13 tokens again in 1.625 s and has 6 steps to go.
    let traffic = requests(vec![class(0, 0)], &[(0.0, 0, 8, 12), (0.0, 0, 8, 12)]);
    let found = simulate(&SLOW, &MIXED, &cluster(6, Reserve::Present, false), None, &traffic);
    assert_eq!(ends(&found), [13.0, 13.0 + 1.625 + 6.0]);
    assert_eq!((found.counts.preemptions, found.all.ttft.p99), (1, 2.0));
    assert_eq!(found.counts.computed_tokens, 24);
    // 5 for the first, 3 and 5 for the second.
    assert_eq!((found.counts.blocks_allocated, found.counts.blocks_freed), (13, 13));
    // With prefixes kept, one of its three blocks outlives the growth of the first: 4 tokens less.
    let kept = simulate(&SLOW, &MIXED, &cluster(6, Reserve::Present, true), None, &traffic);
    assert_eq!(ends(&kept), [13.0, 13.0 + 1.125 + 6.0]);
    assert_eq!(kept.counts.blocks_allocated, kept.counts.blocks_freed);
}

#[test]
fn the_least_important_gives_way_and_not_the_last() {
    // As before, but the first is less important: it is put out, although admitted first.
    let traffic = requests(vec![class(0, 0), class(0, 1)], &[(0.0, 0, 8, 12), (0.5, 1, 8, 12)]);
    let found = simulate(&SLOW, &MIXED, &cluster(6, Reserve::Present, false), None, &traffic);
    let classes: Vec<u16> = found.answered().iter().map(|one| one.class).collect();
    assert_eq!((classes, found.counts.preemptions), (vec![1, 0], 1));
}

#[test]
fn a_session_finds_its_history_in_whole_blocks() {
    // The first turn stores 8 + 4 tokens, its last one never; of the 16 of the second 4 are left.
    let second = Turn { repeated: 13, ..turn(16, 1) };
    let session = Session { start: 0.0, class: 0, turns: vec![turn(8, 5), second] };
    let traffic = Traffic { classes: vec![class(0, 0)], sessions: vec![session], users: None };
    let found = simulate(&SLOW, &MIXED, &cluster(64, Reserve::Present, true), None, &traffic);
    assert_eq!(ends(&found), [5.0, 5.5]);
    close(found.hit_share, 0.5, 1e-12);
    // Three blocks, a fourth for the second turn.
    assert_eq!((found.counts.blocks_allocated, found.counts.blocks_freed), (4, 4));
    let without = simulate(&SLOW, &MIXED, &cluster(64, Reserve::Present, false), None, &traffic);
    assert_eq!(ends(&without), [5.0, 7.0]);
}

#[test]
fn a_cache_too_small_for_all_sessions_forgets_the_longest_unused() {
    // Each of three sessions leaves 3 blocks; the cache holds 7 and one at work needs 4.
    let second = |after| Turn { after, repeated: 13, ..turn(16, 1) };
    let session = |start: f64| Session { start, class: 0, turns: vec![turn(8, 5), second(100.0)] };
    let sessions = [0.0, 10.0, 20.0].map(session).to_vec();
    let traffic = Traffic { classes: vec![class(0, 0)], sessions, users: None };
    let found = simulate(&SLOW, &MIXED, &cluster(7, Reserve::Present, true), None, &traffic);
    // The third takes two blocks and a third from the first session, which keeps one. That serves its second
    // turn, whose four blocks leave the second session none, as that one's leave the third.
    let took: Vec<f64> = found.answered()[3..].iter().map(|one| one.end_to_end).collect();
    assert_eq!(took, [1.5, 2.0, 2.0]);
    close(found.hit_share, 4.0 / 72.0, 1e-12);
}

#[test]
fn what_a_class_has_in_common_is_computed_once() {
    let traffic = requests(vec![class(10, 0)], &[(0.0, 0, 16, 1), (10.0, 0, 16, 1), (20.0, 0, 9, 1)]);
    let found = simulate(&SLOW, &MIXED, &cluster(64, Reserve::Present, true), None, &traffic);
    // Two whole blocks of ten tokens in common.
    let took: Vec<f64> = found.answered().iter().map(|one| one.ttft).collect();
    assert_eq!(took, [2.0, 1.0, 0.125]);
}

#[test]
fn a_request_larger_than_the_cache_is_refused_and_stops_nobody() {
    let traffic = requests(vec![class(0, 0)], &[(0.0, 0, 20, 5), (0.0, 0, 8, 12)]);
    let found = simulate(&SLOW, &MIXED, &cluster(6, Reserve::Present, true), None, &traffic);
    assert_eq!((found.counts.refused, found.counts.answered, found.counts.left), (1, 1, 0));
    let levels = super::super::super::levels::Levels::default();
    assert!(!found.keeps(&levels));
}

/// Where the cache is the limit, whole reservations are slots: as many requests as it holds.
#[test]
fn a_cache_that_holds_so_many_is_as_good_as_so_many_slots() {
    let times = Even { decode: 0.010, token: 1e-5 };
    let sessions: Vec<_> = (0..2000).map(|n| (f64::from(n) * 0.05, 0, 700, 324)).collect();
    let traffic = requests(vec![class(0, 0)], &sessions);
    // 1024 tokens are 64 blocks of 16.
    let cache = Cache { block: 16, blocks: 64 * 40 + 63, reserve: Reserve::Whole, prefixes: false };
    let limited =
        simulate(&times, &MIXED, &Cluster { cache: Some(cache), ..Cluster::one(999) }, None, &traffic);
    let slots = simulate(&times, &MIXED, &Cluster::one(40), None, &traffic);
    assert_eq!((limited.all, limited.waiting.to_bits()), (slots.all, slots.waiting.to_bits()));
    assert!(slots.most_waiting > 100 && limited.cache_share > 0.9);
    // By present need more run at once, and nobody waits as long.
    let cache = Cache { reserve: Reserve::Present, ..cache };
    let present =
        simulate(&times, &MIXED, &Cluster { cache: Some(cache), ..Cluster::one(999) }, None, &traffic);
    assert!(present.batch > 1.1 * limited.batch && present.counts.preemptions > 0);
    assert!(present.all.end_to_end.mean < limited.all.end_to_end.mean);
}

/// Where the cache holds every history, a kept prefix is as good as a prompt without it.
#[test]
fn kept_histories_are_prompts_without_them() {
    let times = Even { decode: 0.010, token: 1e-4 };
    let sessions = |repeated: u32| {
        let follow = Turn { after: 30.0, repeated, ..turn(repeated + 160, 33) };
        let session = |n: u32| Session { start: f64::from(n), class: 0, turns: vec![turn(160, 33), follow] };
        Traffic { classes: vec![class(0, 0)], sessions: (0..200).map(session).collect(), users: None }
    };
    let cache = Some(Cache::of_tokens(1_000_000, 16));
    let kept = simulate(&times, &MIXED, &Cluster { cache, ..Cluster::one(64) }, None, &sessions(192));
    let without = simulate(&times, &MIXED, &Cluster::one(64), None, &sessions(0));
    close(kept.all.ttft.mean, without.all.ttft.mean, 1e-9);
    // 192 of 160 + 352 tokens.
    close(kept.hit_share, 192.0 / 512.0, 1e-9);
    // A cache a tenth as large as all histories that wait keeps none for half a minute.
    let small = Some(Cache::of_tokens(1_000, 16));
    let lost = simulate(&times, &MIXED, &Cluster { cache: small, ..Cluster::one(64) }, None, &sessions(192));
    assert!(lost.hit_share < 0.01, "{}", lost.hit_share);
}
