//! `plan size`: from users, service levels and a budget to machines and money.

use crate::arithmetic::kv::KvFormat;
use crate::catalogue::nearest::ranked;
use crate::catalogue::store::Catalogue;
use crate::cli::error::{CliError, Outcome};
use crate::cli::levels::LevelArgs;
use crate::cli::resolve::resolve_model;
use crate::cli::terms::TermArgs;
use crate::cli::workload::resolve_workload;
use crate::perf::deployment::Engine;
use crate::plan::Limits;
use crate::plan::size::{Bounds, Budget, Demand, SizeRequest, size};
use crate::report;
use crate::units::{Money, parse_count};
use clap::Args;
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

/// What to size for.
#[derive(Clone, Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(group = clap::ArgGroup::new("demand").required(true))]
pub struct SizeArgs {
    /// Serve one of these models: catalogue names, hub ids, config.json files or spec files
    #[arg(long, short, value_name = "MODEL", required = true, value_delimiter = ',')]
    pub model: Vec<String>,
    /// People or agents at work at the same time
    #[arg(long, short, value_name = "COUNT", group = "demand", value_parser = positive)]
    pub users: Option<f64>,
    /// Requests per second
    #[arg(long, value_name = "COUNT", group = "demand", value_parser = positive)]
    pub requests_per_second: Option<f64>,
    /// Tokens per day, prompts and answers together, such as 2G
    #[arg(long, value_name = "COUNT", group = "demand", value_parser = positive)]
    pub tokens_per_day: Option<f64>,
    /// What they ask: a name such as coding-agent (`plan workloads list`), a file of your own, or a trace in CSV
    #[arg(long, value_name = "NAME|FILE", default_value = "chat")]
    pub workload: String,
    /// Service levels.
    #[command(flatten)]
    pub levels: LevelArgs,
    /// The most to spend, such as 40000 to buy or to rent over the horizon, or 2500/month
    #[arg(long, value_name = "AMOUNT[/month]", value_parser = budget)]
    pub budget: Option<Budget>,
    /// Months of rent that a budget for the whole must pay
    #[arg(long, value_name = "MONTHS", default_value_t = 36, value_parser = clap::value_parser!(u32).range(1..=240))]
    pub horizon: u32,
    /// Machines beside those that are needed, so that one may fail
    #[arg(long, value_name = "COUNT", default_value_t = 0, num_args = 0..=1, default_missing_value = "1", value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub spare: u32,
    /// Growth of the demand per month and months to plan, such as 10%:24
    #[arg(long, value_name = "SHARE:MONTHS", value_parser = growth)]
    pub growth: Option<(f64, u32)>,
    /// Consider only accelerators of these makers, such as NVIDIA
    #[arg(long, value_name = "MAKER", value_delimiter = ',')]
    pub vendor: Vec<String>,
    /// Consider only hardware whose name contains one of these, such as h200
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub hardware: Vec<String>,
    /// The most power at the wall, kW
    #[arg(long, value_name = "KW", value_parser = positive)]
    pub power_limit: Option<f64>,
    /// The least share of the model's quality a format keeps; 0 takes any
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, value_parser = quality)]
    pub quality: f64,
    /// Consider only these weight formats [default: the two best of each engine that fit]
    #[arg(long, value_name = "FORMAT", value_delimiter = ',')]
    pub format: Vec<String>,
    /// Consider only this cache format
    #[arg(long, value_name = "FORMAT")]
    pub kv: Option<KvFormat>,
    /// Consider only these engines
    #[arg(long, value_name = "ENGINE", value_delimiter = ',')]
    pub engine: Vec<Engine>,
    /// Keep all weights on the accelerators
    #[arg(long)]
    pub no_offload: bool,
    /// Terms of money.
    #[command(flatten)]
    pub terms: TermArgs,
    /// Show every deployment, not only the cheapest
    #[arg(long)]
    pub all: bool,
    /// Print the answer as JSON
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print the deployments as CSV
    #[arg(long)]
    pub csv: bool,
}

/// Runs the command.
///
/// # Errors
/// Bad input.
pub fn run(
    args: &SizeArgs,
    catalogue: &Catalogue,
    width: usize,
    out: &mut dyn Write,
) -> Result<Outcome, CliError> {
    let request = request(args, catalogue)?;
    let sizing = size(&request, catalogue)?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &sizing).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else if args.csv {
        report::size::csv(&sizing, out)?;
    } else {
        report::size::render(&sizing, args.all, width, out)?;
    }
    Ok(if sizing.deployments.is_empty() { Outcome::NothingFits } else { Outcome::Answered })
}

/// Resolves names and files.
fn request(args: &SizeArgs, catalogue: &Catalogue) -> Result<SizeRequest, CliError> {
    let source = resolve_workload(&args.workload)?;
    known_makers(&args.vendor, catalogue)?;
    let demand = match (args.users, args.requests_per_second, args.tokens_per_day) {
        (Some(users), _, _) => Demand::Users(users),
        (None, Some(rate), _) => Demand::RequestsPerSecond(rate),
        (None, None, tokens) => Demand::TokensPerDay(tokens.unwrap_or(1.0)),
    };
    let months = args.growth.map_or_else(Vec::new, |(share, months)| {
        std::iter::successors(Some(1.0), |factor| Some(factor * (1.0 + share)))
            .take(months as usize)
            .collect()
    });
    Ok(SizeRequest {
        models: args.model.iter().map(|name| resolve_model(name, catalogue)).collect::<Result<_, _>>()?,
        demand,
        levels: args.levels.levels(source.levels())?,
        source: Arc::new(source),
        limits: Limits {
            formats: args.format.iter().map(|name| name.to_lowercase()).collect(),
            kv: args.kv,
            engines: args.engine.clone(),
            no_offload: args.no_offload,
            ..Limits::default()
        },
        bounds: Bounds {
            vendors: args.vendor.clone(),
            hardware: args.hardware.iter().map(|part| part.to_lowercase()).collect(),
            budget: args.budget,
            power_kw: args.power_limit,
            quality: (args.quality > 0.0).then_some(args.quality),
            spare: args.spare,
        },
        stated: args.terms.stated()?,
        horizon_months: args.horizon,
        months,
    })
}

/// Refuses a maker nobody has heard of.
fn known_makers(asked: &[String], catalogue: &Catalogue) -> Result<(), CliError> {
    if asked.is_empty() {
        return Ok(());
    }
    let makers: BTreeSet<String> = catalogue
        .accelerator_ids()
        .filter_map(|id| Some(catalogue.accelerator(id).ok()?.value.vendor.clone()))
        .collect();
    match asked.iter().find(|name| !makers.iter().any(|maker| maker.eq_ignore_ascii_case(name))) {
        None => Ok(()),
        Some(name) => Err(CliError::Unknown {
            what: "maker",
            name: name.clone(),
            near: ranked(name, makers.iter().map(String::as_str)).into_iter().map(str::to_owned).collect(),
        }),
    }
}

/// Reads an amount above zero.
fn positive(text: &str) -> Result<f64, String> {
    match parse_count(text) {
        Ok(n) if n > 0.0 && n <= 1e18 => Ok(n),
        Ok(_) => Err("a number above zero is expected".to_owned()),
        Err(error) => text.parse::<f64>().ok().filter(|n| *n > 0.0 && *n <= 1e18).ok_or(error.to_string()),
    }
}

/// Reads a share that may be none or all.
fn quality(text: &str) -> Result<f64, String> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|n| n / 100.0),
        None => text.parse(),
    };
    match share {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        Ok(_) | Err(_) => Err("a share lies between 0 and 1, such as 0.98".to_owned()),
    }
}

/// Reads a budget.
fn budget(text: &str) -> Result<Budget, String> {
    let bare = text.trim().trim_start_matches('$').replace(['_', ','], "");
    match bare.split_once('/') {
        None => positive(&bare).map(|n| Budget::Whole(Money::new(n))),
        Some((amount, "month" | "mo")) => positive(amount).map(|n| Budget::PerMonth(Money::new(n))),
        Some((_, per)) => Err(format!("`/{per}` is not known; write 40000, or 2500/month")),
    }
}

/// Reads a growth.
fn growth(text: &str) -> Result<(f64, u32), String> {
    let wrong = || format!("`{text}` is no growth; write 10%:24 for ten per cent a month over 24 months");
    let (share, months) = text.split_once(':').ok_or_else(wrong)?;
    let share: f64 = match share.trim().strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map_err(|_| wrong())? / 100.0,
        None => share.trim().parse().map_err(|_| wrong())?,
    };
    let months: u32 = months.trim().parse().map_err(|_| wrong())?;
    if (-0.9..=10.0).contains(&share) && (1..=240).contains(&months) {
        Ok((share, months))
    } else {
        Err(wrong())
    }
}
