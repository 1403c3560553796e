//! A sizing as text and as CSV, from one list of columns.

use crate::economics::Holding;
use crate::fact::Confidence;
use crate::plan::size::{Budget, Demand, Failure, Load, Sized, Sizing};
use crate::report::columns::duration;
use crate::report::table::{cell, lines, thin, wrap};
use crate::serving::levels::Level;
use crate::units::{Money, grouped as dollars, significant, tokens};
use std::io::{self, Write};

/// Deployments shown unless all are asked for.
const SHOWN: usize = 10;
/// Deployments beyond a bound, or without a price, shown.
const OTHERS: usize = 4;

/// One column of the list of deployments.
struct Column {
    label: &'static str,
    key: &'static str,
    right: bool,
    shown: fn(&Sized) -> String,
    raw: fn(&Sized) -> String,
}

/// What users see: as simulated, where it was.
fn seen(sized: &Sized) -> &Load {
    sized.simulated.as_ref().unwrap_or(&sized.load)
}

/// A figure of the cost, or a dash.
fn money(amount: Option<Money>) -> String {
    amount.map_or_else(|| "–".to_owned(), |amount| dollars(amount.get()))
}

fn plain(amount: Option<Money>) -> String {
    amount.map_or_else(String::new, |amount| amount.get().to_string())
}

const COLUMNS: &[Column] = &[
    Column {
        label: "machines",
        key: "machines",
        right: false,
        shown: |s| format!("{} × {}", s.units, s.unit),
        raw: |s| format!("{}x {}", s.units, s.unit),
    },
    Column {
        label: "held",
        key: "held",
        right: false,
        shown: |s| s.cost.as_ref().map_or_else(|| "–".to_owned(), |c| c.holding.word().to_owned()),
        raw: |s| s.cost.as_ref().map_or_else(String::new, |c| c.holding.word().to_owned()),
    },
    Column {
        label: "$/month",
        key: "per_month",
        right: true,
        shown: |s| money(s.cost.as_ref().map(|c| c.per_month)),
        raw: |s| plain(s.cost.as_ref().map(|c| c.per_month)),
    },
    Column {
        label: "$ to\nbuy",
        key: "purchase",
        right: true,
        shown: |s| money(s.cost.as_ref().and_then(|c| c.purchase)),
        raw: |s| plain(s.cost.as_ref().and_then(|c| c.purchase)),
    },
    Column {
        label: "$/Mtok\nout",
        key: "per_million_output",
        right: true,
        shown: |s| money(s.cost.as_ref().and_then(|c| c.per_million_output)),
        raw: |s| plain(s.cost.as_ref().and_then(|c| c.per_million_output)),
    },
    Column {
        label: "used",
        key: "utilisation",
        right: true,
        shown: |s| format!("{:.0} %", s.utilisation * 100.0),
        raw: |s| s.utilisation.to_string(),
    },
    Column {
        label: "if\nslow",
        key: "units_if_slow",
        right: true,
        shown: |s| s.units_if_slow.map_or_else(|| "–".to_owned(), |units| units.to_string()),
        raw: |s| s.units_if_slow.map_or_else(String::new, |units| units.to_string()),
    },
    Column {
        label: "TTFT",
        key: "ttft_s",
        right: true,
        shown: |s| duration(seen(s).ttft_s.likely.get()),
        raw: |s| seen(s).ttft_s.likely.get().to_string(),
    },
    Column {
        label: "TPOT",
        key: "tpot_s",
        right: true,
        shown: |s| duration(seen(s).tpot_s.likely.get()),
        raw: |s| seen(s).tpot_s.likely.get().to_string(),
    },
    Column {
        label: "model, format, engine, layout of one",
        key: "option",
        right: false,
        shown: |s| {
            let unsure = if s.confidence == Confidence::Extrapolated { " ~" } else { "" };
            format!("{} {} {} {}{unsure}", s.model, s.format, s.engine, s.layout)
        },
        raw: |s| s.option.clone(),
    },
];

/// Writes the answer as text.
///
/// # Errors
/// When the writer fails.
pub fn render(sizing: &Sizing, all: bool, width: usize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", wrap(&asked(sizing), width, "  "))?;
    writeln!(out, "{}", wrap(&verdict(sizing), width, "  "))?;
    if let Some(best) = sizing.deployments.first() {
        for sentence in
            [money_in_words(best), api_in_words(best), Some(failure(best)), power(best)].into_iter().flatten()
        {
            writeln!(out, "{}", wrap(&sentence, width, "  "))?;
        }
    }
    let shown = if all { usize::MAX } else { SHOWN };
    if !sizing.deployments.is_empty() {
        writeln!(out, "\n{}", table(&sizing.deployments, shown, width).trim_end())?;
        if sizing.deployments.len() > shown {
            writeln!(out, "… and {} more (--all shows them)", sizing.deployments.len() - shown)?;
        }
    }
    changes(sizing, width, out)?;
    growth(sizing, out)?;
    if !sizing.beyond.is_empty() {
        writeln!(out, "\nServe it, and break a bound:")?;
        for beyond in sizing.beyond.iter().take(if all { usize::MAX } else { OTHERS }) {
            let line = format!("· {}: {}", in_words(&beyond.deployment), beyond.breaks);
            writeln!(out, "{}", wrap(&line, width, "  "))?;
        }
    }
    if !sizing.unpriced.is_empty() {
        writeln!(out, "\nServe it, without a known price:")?;
        for sized in sizing.unpriced.iter().take(if all { usize::MAX } else { OTHERS }) {
            writeln!(out, "{}", wrap(&format!("· {}", in_words(sized)), width, "  "))?;
        }
    }
    writeln!(out)?;
    let best = sizing.deployments.first().map_or(&[][..], |best| &best.notes);
    for note in best.iter().map(|note| format!("best: {note}")).chain(sizing.notes.iter().cloned()) {
        writeln!(out, "{}", wrap(&format!("· {note}"), width, "  "))?;
    }
    if let Some(best) = sizing.deployments.first() {
        if let Some(cost) = &best.cost {
            for part in &cost.parts {
                let text =
                    format!("· {} ${}/h: {}", part.kind, significant(part.per_hour.get()), part.origin);
                writeln!(out, "{}", wrap(&text, width, "  "))?;
            }
        }
        let why = format!("· why: plan explain {} --hw \"{}\"", best.option, best.unit);
        writeln!(out, "{}", wrap(&why, width, "  "))?;
    }
    Ok(())
}

fn table(deployments: &[Sized], shown: usize, width: usize) -> String {
    let mut table = thin(width);
    table.set_header(COLUMNS.iter().map(|column| cell(column.label, column.right)));
    for sized in deployments.iter().take(shown) {
        table.add_row(COLUMNS.iter().map(|column| cell((column.shown)(sized), column.right)));
    }
    lines(&table)
}

/// The question in words.
fn asked(sizing: &Sizing) -> String {
    let q = &sizing.question;
    let demand = match q.demand {
        Demand::Users(users) if (users - 1.0).abs() < 1e-9 => "1 user at work".to_owned(),
        Demand::Users(users) => format!("{} users at work", significant_count(users)),
        Demand::RequestsPerSecond(rate) => format!("{} requests per second", significant(rate)),
        Demand::TokensPerDay(n) => format!("{}tokens per day", crate::units::count(n) + " "),
    };
    let level = |name: &str, level: Option<Level>| {
        level.map(|level| {
            format!(
                "{name} {} for {} %",
                duration(level.most_s.get()),
                significant_count(level.share * 100.0)
            )
        })
    };
    let levels: Vec<String> = [
        level("TTFT", q.levels.ttft),
        level("TPOT", q.levels.tpot),
        level("whole answer", q.levels.end_to_end),
    ]
    .into_iter()
    .flatten()
    .collect();
    let levels = if levels.is_empty() { "no service levels".to_owned() } else { levels.join(", ") };
    let budget = match q.budget {
        None => String::new(),
        Some(Budget::PerMonth(most)) => format!("; at most ${} a month", dollars(most.get())),
        Some(Budget::Whole(most)) => {
            format!("; at most ${} to buy, or to rent for {} months", dollars(most.get()), q.horizon_months)
        }
    };
    format!(
        "{}: {demand}, {} ({} prompt tokens of which {:.0} % repeat, {} of answer, {} between; 99 % within {}); {levels}{budget}.",
        sizing.models.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", "),
        q.workload,
        tokens(q.input.round() as u64),
        q.reusable / q.input * 100.0,
        tokens(q.output.round() as u64),
        duration(q.think_s),
        tokens(q.context),
    )
}

/// A count without needless decimals.
fn significant_count(n: f64) -> String {
    if (n - n.round()).abs() < 1e-9 { format!("{n:.0}") } else { significant(n) }
}

fn verdict(sizing: &Sizing) -> String {
    if let Some(best) = sizing.deployments.first() {
        let load = seen(best);
        let how = if best.simulated.is_some() { "simulated" } else { "estimated" };
        let goodput = load
            .goodput
            .map_or_else(String::new, |g| format!("; {:.1} % of the requests keep all levels", g * 100.0));
        return format!(
            "Best, cheapest at the slow end of its range: {}. {how}: TTFT {} ({}–{}), TPOT {} ({}–{}), {} requests per second, {} under way{goodput}.",
            in_words(best),
            duration(load.ttft_s.likely.get()),
            duration(load.ttft_s.low.get()),
            duration(load.ttft_s.high.get()),
            duration(load.tpot_s.likely.get()),
            duration(load.tpot_s.low.get()),
            duration(load.tpot_s.high.get()),
            significant(load.requests_per_s),
            significant(load.in_flight),
        );
    }
    let why = sizing.why_none.as_deref().unwrap_or("nothing serves it");
    let mut text = vec![format!("Nothing within the bounds: {why}.")];
    if let Some(fast) = sizing.affordable.as_ref().filter(|found| !found.keeps_levels) {
        let load = seen(&fast.deployment);
        text.push(format!(
            "What the budget buys keeps the levels not even for one user; the fastest of it for one is {}: TTFT {}, TPOT {}.",
            in_words(&fast.deployment),
            duration(load.ttft_s.likely.get()),
            duration(load.tpot_s.likely.get()),
        ));
    }
    if let Some(affordable) = sizing.affordable.as_ref().filter(|found| found.keeps_levels) {
        text.push(format!(
            "The budget buys {}, which serves {} % of it within the levels.",
            in_words(&affordable.deployment),
            significant(affordable.serves * 100.0)
        ));
    }
    if let Some(nearest) = sizing.beyond.first() {
        text.push(format!(
            "To serve all of it takes {} ({}).",
            in_words(&nearest.deployment),
            nearest.breaks
        ));
    }
    text.join(" ")
}

fn in_words(sized: &Sized) -> String {
    let spare = if sized.spare > 0 { format!(" ({} spare)", sized.spare) } else { String::new() };
    let cost = sized.cost.as_ref().map_or_else(String::new, |cost| {
        let purchase = cost.purchase.map_or_else(String::new, |p| format!(", ${} to buy", dollars(p.get())));
        format!(", {} at ${} a month{purchase}", held(cost.holding), dollars(cost.per_month.get()))
    });
    format!(
        "{} × {}{spare}, {} {} with {} {}{cost}",
        sized.units, sized.unit, sized.model, sized.format, sized.engine, sized.layout
    )
}

fn held(holding: Holding) -> String {
    match holding {
        Holding::Own => "owned".to_owned(),
        rented => format!("rented {rented}"),
    }
}

fn money_in_words(best: &Sized) -> Option<String> {
    let cost = best.cost.as_ref()?;
    let each = |name: &str, price: Option<Money>| {
        price.map(|p| format!("${} per million {name}", significant(p.get())))
    };
    let prices: Vec<String> = [
        each("output tokens", cost.per_million_output),
        each("computed input", cost.per_million_input),
        each("cached input", cost.per_million_cached),
    ]
    .into_iter()
    .flatten()
    .collect();
    Some(format!(
        "{}; all tokens together ${}, ${} if fully used.",
        prices.join(", "),
        significant(cost.per_million_mixed.get()),
        significant(cost.per_million_mixed_full.get()),
    ))
}

fn api_in_words(best: &Sized) -> Option<String> {
    let bill = best.cost.as_ref()?.api.as_ref()?;
    let back = match (bill.pays_back_months, best.cost.as_ref()?.purchase) {
        (Some(months), _) => format!("; the purchase pays back in {} months", significant(months)),
        (None, Some(_)) => "; the purchase never pays back".to_owned(),
        (None, None) => String::new(),
    };
    let even = if bill.breaks_even_at <= 1.0 {
        format!("cheaper than that from {:.0} % of this demand on", bill.breaks_even_at * 100.0)
    } else {
        format!("{} times as dear as that", significant(bill.breaks_even_at))
    };
    Some(format!(
        "The same tokens from an API: ${} a month at the cheapest ({}), ${} at the median of {} offers, ${} at the dearest; the deployment is {even}{back}.",
        dollars(bill.cheapest_per_month.get()),
        bill.cheapest,
        dollars(bill.median_per_month.get()),
        bill.offers,
        dollars(bill.dearest_per_month.get()),
    ))
}

fn failure(best: &Sized) -> String {
    let left = best.units - 1;
    match &best.one_fails {
        Failure::Down => "If the machine fails, the service is down: --spare adds one.".to_owned(),
        Failure::Holds => format!("If one machine fails, the other {left} keep the levels."),
        Failure::Slower { ttft_s, tpot_s } => format!(
            "If one machine fails, the other {left} serve all, at TTFT {} and TPOT {}.",
            duration(ttft_s.get()),
            duration(tpot_s.get())
        ),
        Failure::Overloaded { serves } => {
            format!(
                "If one machine fails, the other {left} serve {:.0} % of the demand within the levels.",
                serves * 100.0
            )
        }
    }
}

fn power(best: &Sized) -> Option<String> {
    let watts = best.cost.as_ref()?.power?;
    let kw = watts.get() / 1000.0;
    // A ton of refrigeration takes 3.517 kW of heat away.
    Some(format!(
        "Power at the wall {} kW, as much heat: {} tons of cooling.",
        significant(kw),
        significant(kw / 3.517)
    ))
}

fn changes(sizing: &Sizing, width: usize, out: &mut dyn Write) -> io::Result<()> {
    const HALF: f64 = 0.5;
    if sizing.changes.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nWhat would change the cost:")?;
    let halves = sizing.changes.iter().position(|change| change.left <= HALF);
    for (at, change) in sizing.changes.iter().enumerate() {
        let mark = if halves == Some(at) { " — the smallest that halves it" } else { "" };
        let text = format!(
            "· {}: {:.0} % of the cost, ${} a month ({}){mark}",
            change.change,
            change.left * 100.0,
            dollars(change.per_month.get()),
            change.deployment
        );
        writeln!(out, "{}", wrap(&text, width, "  "))?;
    }
    Ok(())
}

fn growth(sizing: &Sizing, out: &mut dyn Write) -> io::Result<()> {
    if sizing.growth.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nmonth  demand  machines  to add  $/month")?;
    for month in &sizing.growth {
        writeln!(
            out,
            "{:5}  {:5.2}×  {:8}  {:6}  {:>7}",
            month.month,
            month.factor,
            month.units,
            month.added,
            dollars(month.per_month.get())
        )?;
    }
    Ok(())
}

/// Writes the deployments as CSV.
///
/// # Errors
/// When the writer fails.
pub fn csv(sizing: &Sizing, out: &mut dyn Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(COLUMNS.iter().map(|column| column.key))?;
    for sized in sizing.deployments.iter().chain(&sizing.unpriced) {
        writer.write_record(COLUMNS.iter().map(|column| (column.raw)(sized)))?;
    }
    writer.flush()
}
