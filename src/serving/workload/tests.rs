//! Means worked by hand, runs that repeat, and files that cannot be.

use super::{Coming, Extent, Run, WorkloadSpec, names, read_workload, shipped};
use crate::serving::profile::Profile;
use crate::serving::traffic::Traffic;

/// A session of three turns: prompts of 100 + 50, then 150 + 20 + 10, then 180 + 20 + 10.
const THREE: &str = r#"
name = "three"
about = "three turns"

[[class]]
name = "a"
common = { tokens = 100 }
turns = { kind = "fixed", value = 3 }
first = { kind = "fixed", value = 50 }
next = { kind = "fixed", value = 10 }
output = { kind = "fixed", value = 20 }
think_s = { kind = "fixed", value = 6 }
"#;

fn read(text: &str) -> WorkloadSpec {
    read_workload("w.toml", text).unwrap_or_else(|bad| panic!("{:?}", bad.problems))
}

fn close(found: f64, want: f64, within: f64) {
    assert!((found / want - 1.0).abs() <= within, "{found}, expected {want}");
}

#[test]
fn means_of_a_session_worked_by_hand() {
    let profile = read(THREE).profile(None);
    // Prompts of 150, 180 and 210; the first 170 and 200 of the later two stood there before.
    close(profile.turns, 3.0, 1e-9);
    close(profile.input, 180.0, 1e-9);
    close(profile.kept, (100.0 + 170.0 + 200.0) / 3.0, 1e-9);
    close(profile.common, 100.0, 1e-9);
    close(profile.output, 20.0, 1e-9);
    // A user waits before every request, the first of a session included.
    close(profile.think, 6.0, 1e-9);
    assert_eq!(profile.context, 230);
}

/// Turns of mean 4 without memory: a request stands behind m - 1 = 3 others in the mean, so that with
/// a growth of 30 the mean prompt is 150 + 90; and it is behind fewer than k by 1 - (3/4)^k.
#[test]
fn means_of_sessions_without_memory() {
    let profile = read(&THREE.replace("\"fixed\", value = 3", "\"geometric\", mean = 4")).profile(None);
    close(profile.turns, 4.0, 0.002);
    close(profile.input, 240.0, 0.005);
    // 1 - (3/4)^16 = 0.98998 are behind 15 or fewer: the 99th percentile is behind 15 or 16.
    assert!([170 + 30 * 15, 170 + 30 * 16].contains(&profile.context), "{}", profile.context);
}

/// Half of an answer kept: it stands at other places, so that only the prompt before is repeated.
#[test]
fn thoughts_left_out_are_not_repeated() {
    let profile = read(&format!("{THREE}answer_kept = {{ share = 0.5 }}\n")).profile(None);
    // Prompts of 150, 170 and 190.
    close(profile.input, 170.0, 1e-9);
    close(profile.kept, (100.0 + 150.0 + 170.0) / 3.0, 1e-9);
}

/// At 210 tokens the third prompt and its answer, 230, do not fit: it begins anew with 150.
#[test]
fn a_limit_ends_the_history() {
    for profile in
        [read(&format!("{THREE}limit = {{ tokens = 210 }}\n")).profile(None), read(THREE).profile(Some(210))]
    {
        close(profile.input, (150.0 + 180.0 + 150.0) / 3.0, 1e-9);
        assert_eq!(profile.context, 200);
    }
}

fn requests(traffic: &Traffic) -> usize {
    traffic.sessions.iter().map(|session| session.turns.len()).sum()
}

const HOUR: Run = Run::Open { coming: Coming::Requests(2.0), extent: Extent::Seconds(36_000.0), hour: 8.0 };

#[test]
fn the_same_seed_gives_the_same_requests() {
    for name in names() {
        let spec = shipped(name).unwrap();
        let run = Run::Users { users: 5, requests: 300 };
        assert_eq!(spec.traffic(run, None, 1), spec.traffic(run, None, 1), "{name}");
        assert_ne!(spec.traffic(run, None, 1), spec.traffic(run, None, 2), "{name}");
        assert_eq!(requests(&spec.traffic(run, None, 1)), 300, "{name}");
    }
    // Another rate changes when sessions start, not what they hold.
    let at = |rate| {
        let run = Run::Open { coming: Coming::Sessions(rate), extent: Extent::Requests(200), hour: 0.0 };
        shipped("chat").unwrap().traffic(run, None, 3).sessions
    };
    let (slow, fast) = (at(1.0), at(10.0));
    for (slow, fast) in slow.iter().zip(&fast) {
        assert_eq!(slow.turns, fast.turns);
        close(slow.start / fast.start, 10.0, 1e-9);
    }
}

/// What is drawn has the means of the profile, and comes at the rate asked for.
#[test]
fn runs_have_the_means_of_their_profile() {
    for name in names() {
        let spec = shipped(name).unwrap();
        let (profile, traffic) = (spec.profile(None), spec.traffic(HOUR, None, 11));
        let drawn = Profile::of(&traffic).unwrap();
        let sessions = traffic.sessions.len() as f64;
        let within = 4.0 / sessions.sqrt() + 0.01;
        close(drawn.input, profile.input, 2.0 * within);
        close(drawn.output, profile.output, within);
        close(drawn.turns, profile.turns, within);
        close(drawn.context as f64, profile.context as f64, 4.0 * within);
        let hours = spec.arrivals.as_ref().unwrap().value.hours();
        let share: f64 = hours[8..18].iter().sum::<f64>() / 10.0;
        let cv = spec.arrivals.as_ref().unwrap().value.cv();
        close(sessions, 72_000.0 * share / profile.turns, 4.0 * cv / sessions.sqrt() + 0.01);
        assert!(traffic.sessions.is_sorted_by_key(|session| session.start), "{name}");
        for turn in traffic.sessions.iter().flat_map(|session| &session.turns) {
            assert!(turn.repeated < turn.input && turn.output > 0, "{name}: {turn:?}");
        }
    }
}

/// A curve with all of its weight on one hour puts every session there.
#[test]
fn a_daily_curve_is_kept() {
    let hours: Vec<&str> = (0..24).map(|hour| if hour == 10 { "1" } else { "0" }).collect();
    let text = format!("{THREE}\n[arrivals]\nkind = \"daily\"\nhours = [{}]\n", hours.join(", "));
    let run = Run::Open { coming: Coming::Sessions(0.01), extent: Extent::Seconds(172_800.0), hour: 9.0 };
    let sessions = read(&text).traffic(run, None, 5).sessions;
    // 0.01 per second over two days, all within the second hour of either.
    close(sessions.len() as f64, 1728.0, 0.1);
    for session in &sessions {
        let hour = session.start / 3600.0 % 24.0;
        assert!((1.0..2.0).contains(&hour), "{hour}");
    }
}

#[test]
fn users_pause_between_sessions() {
    let text =
        format!("{THREE}\n[arrivals]\nkind = \"users\"\npause_s = {{ kind = \"fixed\", value = 60 }}\n");
    let spec = read(&text);
    let traffic = spec.traffic(Run::Users { users: 2, requests: 6 }, None, 1);
    assert_eq!(traffic.users, Some(2));
    assert_eq!(traffic.sessions[1].turns.iter().map(|turn| turn.after).collect::<Vec<_>>(), [60.0, 6.0, 6.0]);
    close(spec.profile(None).think, (60.0 + 6.0 + 6.0) / 3.0, 1e-12);
    close(Profile::of(&traffic).unwrap().think, 24.0, 1e-12);
}

/// The shipped files are sound, named after themselves, and ground every figure.
#[test]
fn shipped_workloads_say_where_their_figures_come_from() {
    assert_eq!(names(), ["batch", "chat", "coding-agent", "long-document", "rag", "reasoning"]);
    for name in names() {
        let spec = shipped(name).unwrap();
        assert_eq!(spec.name, name);
        assert!(spec.levels().unwrap() != crate::serving::levels::Levels::default());
        let unsaid = "as the file says";
        assert_ne!(spec.arrivals.as_ref().unwrap().ground(), unsaid);
        assert_ne!(spec.levels.as_ref().unwrap().ground(), unsaid);
        for class in &spec.class {
            for (key, law) in class.laws() {
                assert_ne!(law.ground(), unsaid, "{name}: {key}");
            }
            for count in [&class.common, &class.limit].into_iter().flatten() {
                assert_ne!(count.ground(), unsaid, "{name}");
            }
        }
    }
    assert_eq!(shipped("coding-agnt"), Err(vec!["coding-agent".to_owned()]));
}

/// What the sources of the shipped files publish comes out of them.
#[test]
fn shipped_workloads_reproduce_published_means() {
    let agent = shipped("coding-agent").unwrap().profile(None);
    close(agent.input, 631.4e9 / 9.31e6, 0.03);
    close(agent.output, 527.0, 0.01);
    // 86 % of the prompt tokens were read from a cache that forgets; one that does not holds more.
    assert!((0.86..1.0).contains(&(agent.kept / agent.input)), "{agent:?}");
    // Mean of a lognormal of median 1730 and 90th percentile 5696: s = 0.9298, 1730 · e^(s²/2) = 2666.
    close(shipped("chat").unwrap().profile(None).input, 2666.0, 0.1);
}

#[test]
fn files_that_cannot_be_are_told_with_their_place() {
    let cases: &[(&str, &str, &str)] = &[
        ("value = 20", "median = 20", "unknown key `median`"),
        ("value = 20", "", "lacks the key `value`"),
        ("\"fixed\", value = 20", "\"fixt\", value = 20", "unknown distribution `fixt`"),
        ("\"fixed\", value = 20", "\"lognormal\", mean = 20, p95 = 200", "3.9 times its mean"),
        ("\"fixed\", value = 20", "\"lognormal\", p95 = 200", "one of `median` and `mean`"),
        ("value = 20", "value = -20", "out of range"),
        ("value = 20", "value = 0", "half are below 1 tokens"),
        ("value = 20", "value = 20_000_000", "absurd"),
        ("value = 3", "value = 1_000_000", "absurd"),
        ("tokens = 100", "tokens = 100, sauce = \"x\"", "unknown key `sauce`"),
        ("name = \"a\"", "name = \"a\"\npriority = 12", "a priority of 12"),
        ("name = \"a\"", "name = \"a\"\nshare = 0.5", "add up to 0.5"),
        ("name = \"a\"", "name = \"a\"\nlimit = { tokens = 160 }", "below the 170"),
        ("name = \"a\"", "name = \"a\"\nanswer_kept = { share = 2 }", "cannot be kept"),
        ("[[class]]", "arrivals = { kind = \"gamma\", cv = 0 }\n[[class]]", "a `cv` of 0"),
        ("[[class]]", "arrivals = { kind = \"daily\", hours = [1, 2] }\n[[class]]", "a day has 24 hours"),
        ("[[class]]", "levels = { ttft = \"3s\", end_to_end = \"1s\" }\n[[class]]", "before the first"),
        ("[[class]]", "levels = { goodput = 0.9 }\n[[class]]", "no time is asked for"),
        ("[[class]]", "levels = { ttft = \"p200:1s\" }\n[[class]]", "`p200` is no percentile"),
    ];
    for (from, to, told) in cases {
        let text = THREE.replacen(from, to, 1);
        assert_ne!(text, THREE, "{from}");
        let bad = read_workload("w.toml", &text).expect_err(to);
        let messages: Vec<&str> = bad.problems.iter().map(|problem| problem.message.as_str()).collect();
        assert!(messages.iter().any(|message| message.contains(told)), "{to}: {messages:?}");
        assert!(bad.problems.iter().all(|problem| !problem.span.is_empty()), "{to}: {:?}", bad.problems);
    }
    assert!(read_workload("w.toml", "").is_err());
    assert!(read_workload("w.toml", "name = \"x\"\nabout = \"y\"\n").is_err());
}
