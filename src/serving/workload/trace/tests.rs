//! Traces of several makers, and those that cannot be.

use super::*;

fn read(text: &str) -> Trace {
    read_trace("t.csv", text.as_bytes()).unwrap_or_else(|error| panic!("{error:?}"))
}

fn requests(trace: &Trace) -> Vec<(f64, u32, u32)> {
    let one = |session: &Session| {
        let turn = session.turns[0];
        ((session.start * 1e3).round() / 1e3, turn.input, turn.output)
    };
    trace.traffic.sessions.iter().map(one).collect()
}

#[test]
fn published_columns_are_known() {
    let azure = read(
        "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,10\r\n2023-11-16 18:17:04.0319600,3180,8\r\n",
    );
    assert_eq!((azure.format, azure.date.as_deref()), (Some("Azure"), Some("2023-11-16")));
    assert_eq!(requests(&azure), [(0.0, 4808, 10), (0.052, 3180, 8)]);
    // The week of 2024 has a zone.
    let week = read("TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,2162,5\n");
    assert_eq!(week.date.as_deref(), Some("2024-05-10"));
    let burst = read(
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,Conversation log\n45,ChatGPT,1087,230,1317,Conversation log\n1106,ChatGPT,0,0,0,Conversation log\n",
    );
    assert_eq!((burst.format, &burst.date), (Some("BurstGPT"), &None));
    assert_eq!(requests(&burst), [(0.0, 472, 18), (40.0, 1087, 230)]);
    assert_eq!(burst.notes, ["left out as failed, without prompt or answer: 1"]);
    let vidur = read("arrived_at,num_prefill_tokens,num_decode_tokens\n0.5,10,2\n");
    assert_eq!(vidur.format, Some("vidur"));
    let own = read("\u{feff}# a remark\noutput;time (ms);\"input\"\n\n7;1500;3\n8;2500;4\n");
    assert_eq!(requests(&own), [(0.0, 3, 7), (1.0, 4, 8)]);
}

#[test]
fn old_gaping_and_disordered_traces_are_taken_and_told() {
    // September 2001 in milliseconds, two rows in the wrong order, two hours of silence.
    let seconds = (0..400).map(|second| format!("{},5,6\n", 1_000_007_200_000_u64 + 1000 * second));
    let text: String = ["time,input,output\n1000000001000,5,6\n1000000000000,5,6\n".to_owned()]
        .into_iter()
        .chain(seconds)
        .collect();
    let trace = read(&text);
    assert_eq!(trace.date.as_deref(), Some("2001-09-09"));
    assert!(trace.traffic.sessions.is_sorted_by_key(|session| session.start));
    assert_eq!(requests(&trace)[2], (7200.0, 5, 6));
    assert_eq!(
        trace.notes,
        [
            "recorded from 2001-09-09 on; times are taken from its first request",
            "a silence of 120 min before line 4 is kept",
            "put in order, up to a minute late: 1",
        ]
    );
}

#[test]
fn runs_stretch_the_time_and_leave_out_what_does_not_fit() {
    let trace = read("time,input,output\n0,10,1\n1,500,1\n2,20,1\n4,30,1\n");
    assert!((trace.rate() - 1.0).abs() < 1e-12);
    let open = |extent| Run::Open { coming: Coming::Requests(2.0), extent, hour: 0.0 };
    let half = trace.run(open(Extent::Seconds(1.5)), Some(100));
    assert_eq!(half.sessions.iter().map(|s| s.start).collect::<Vec<_>>(), [0.0, 1.0]);
    assert_eq!(trace.run(open(Extent::Requests(3)), None).sessions.len(), 3);
    let users = trace.run(Run::Users { users: 7, requests: 2 }, None);
    assert_eq!((users.users, users.sessions.len()), (Some(7), 2));
}

#[test]
fn traces_that_cannot_be_are_told_with_their_line() {
    let rows = |rows: &str| format!("time,input,output\n{rows}");
    let cases = [
        (String::new(), 1, "the trace is empty"),
        ("# only a remark\n".to_owned(), 1, "the trace is empty"),
        (rows(""), 1, "a header and no requests"),
        (rows("1,0,5\n2,5,0\n"), 1, "none of the 2 requests has both"),
        ("when,input,output\n1,2,3\n".to_owned(), 1, "no column of times"),
        ("time,imput,output\n1,2,3\n".to_owned(), 1, "no column of prompt tokens"),
        ("time,input\n1,2\n".to_owned(), 1, "no column of answer tokens"),
        (rows("1,2,3\n-4,2,3\n"), 3, "`-4` is negative"),
        (rows("1,2,3\n2,-2,3\n"), 3, "the prompt of `-2` tokens is negative"),
        (rows("1,2,3\n2,2,30000000000\n"), 3, "absurd"),
        (rows("1,2,3\n2,2.5,3\n"), 3, "`2.5` is no number of tokens"),
        (rows("1,2,3\n2,,3\n"), 3, "`` is no number of tokens"),
        (rows("1,2,3\n2,2\n"), 3, "a row of 2 cells under a header of 3"),
        (rows("1,2,3\nnoon,2,3\n"), 3, "`noon` is no time"),
        (rows("1000,2,3\n\n900,2,3\n"), 4, "runs back by"),
        (
            rows("1,2,3\n2023-11-16 18:17,2,3\n"),
            3,
            "reads as dates, and the first row has seconds from the start",
        ),
        (rows("1700000000,2,3\n1700000001000,2,3\n"), 3, "reads as milliseconds since 1970"),
    ];
    for (text, line, told) in cases {
        let Err(TraceError::Bad(bad)) = read_trace("t.csv", text.as_bytes()) else { panic!("{text}") };
        let messages: Vec<(usize, &str)> =
            bad.iter().map(|bad| (bad.first_line, bad.problems[0].message.as_str())).collect();
        assert!(
            messages.iter().any(|(at, message)| *at == line && message.contains(told)),
            "{text}: {messages:?}"
        );
    }
    // Reading ends at ten bad lines, and at one that does not end.
    let Err(TraceError::Bad(bad)) = read_trace("t.csv", rows(&"x,1,1\n".repeat(50)).as_bytes()) else {
        panic!()
    };
    assert_eq!(bad.len(), 10);
    let endless = io::BufReader::new(io::repeat(b'7'));
    assert!(matches!(read_trace("t.csv", endless), Err(TraceError::Bad(_))));
}

#[test]
fn the_example_is_sound() {
    let trace = read(include_str!("../../../../examples/workloads/trace.csv"));
    assert_eq!((trace.format, trace.traffic.sessions.len()), (Some("Azure"), 240));
    assert!((0.3..0.5).contains(&trace.rate()), "{}", trace.rate());
}
