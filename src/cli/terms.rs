//! What money is counted under, as flags or as a file.

use crate::catalogue::decode::utf8_text;
use crate::cli::error::CliError;
use crate::economics::{Currency, Holding, Stated, Term};
use crate::fact::{Fact, Origin};
use clap::Args;
use std::path::PathBuf;

/// What money is counted under; what is not said has a default with its source.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Money")]
pub struct TermArgs {
    /// Read terms from the table `[terms]` of this file; flags come first
    #[arg(long, value_name = "FILE")]
    pub terms: Option<PathBuf>,
    /// Count the machine as bought
    #[arg(long, conflicts_with = "rent")]
    pub own: bool,
    /// Count the machine as rented: on-demand, reserved, reserved-3yr, spot
    #[arg(
        long,
        value_name = "KIND",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "on-demand",
        value_parser = rented
    )]
    pub rent: Option<Holding>,
    /// Price of a kWh of power [default: the average of the US]
    #[arg(long, value_name = "AMOUNT")]
    pub power_price: Option<f64>,
    /// Power of the building over power of the machine [default: 1.54 in a data centre, 1 at home]
    #[arg(long, value_name = "RATIO")]
    pub pue: Option<f64>,
    /// Years a purchase is written off over [default: 5]
    #[arg(long, value_name = "YEARS")]
    pub life: Option<f64>,
    /// What is left of the purchase at the end of its life, such as 20% [default: nothing]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub residual: Option<f64>,
    /// Interest per year, such as 8% [default: none]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub finance: Option<f64>,
    /// Hours in which it can be used, such as 98% [default: all]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub uptime: Option<f64>,
    /// Rent of space per kW and month [default: 184 in a data centre, none at home]
    #[arg(long, value_name = "AMOUNT")]
    pub colo: Option<f64>,
    /// Network between nodes on top of the purchase, such as 12% [default: 12.5 % for several nodes]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub networking: Option<f64>,
    /// Repairs and support per year, of the purchase [default: 4 % in a data centre, none at home]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub maintenance: Option<f64>,
    /// People, per month [default: not counted]
    #[arg(long, value_name = "AMOUNT")]
    pub staff: Option<f64>,
    /// Tax that is not refunded, such as 19% [default: none]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub tax: Option<f64>,
    /// Paid spot hours that interruptions cost, such as 10% [default: 5 %]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub spot_lost: Option<f64>,
    /// Carbon dioxide of the power, grams per kWh [default: not counted]
    #[arg(long, value_name = "GRAMS")]
    pub grid: Option<f64>,
    /// Currency of amounts here and in the answer, such as EUR:0.92 for 0.92 to the US dollar
    #[arg(long, value_name = "CODE:RATE")]
    pub currency: Option<Currency>,
}

/// A way to rent.
fn rented(word: &str) -> Result<Holding, String> {
    let known = Holding::ALL.iter().filter(|holding| holding.is_rented());
    known.copied().find(|holding| holding.word() == word).ok_or_else(|| {
        let words: Vec<&str> = Holding::ALL.iter().filter(|h| h.is_rented()).map(|h| h.word()).collect();
        format!("expected {}", words.join(", "))
    })
}

/// A share as `8%` or `0.08`.
fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = text.trim().strip_suffix('%').map_or((text.trim(), 1.0), |n| (n.trim_end(), 100.0));
    let value: f64 = number.parse().map_err(|_| "expected a share such as 8% or 0.08".to_owned())?;
    Ok(value / unit)
}

impl TermArgs {
    /// The flags with the number each gives.
    fn figures(&self) -> [(Term, &'static str, Option<f64>); 13] {
        [
            (Term::PowerPerKwh, "--power-price", self.power_price),
            (Term::Pue, "--pue", self.pue),
            (Term::LifeYears, "--life", self.life),
            (Term::Residual, "--residual", self.residual),
            (Term::FinanceRate, "--finance", self.finance),
            (Term::Uptime, "--uptime", self.uptime),
            (Term::ColocationPerKwMonth, "--colo", self.colo),
            (Term::Networking, "--networking", self.networking),
            (Term::Maintenance, "--maintenance", self.maintenance),
            (Term::StaffPerMonth, "--staff", self.staff),
            (Term::Tax, "--tax", self.tax),
            (Term::SpotLost, "--spot-lost", self.spot_lost),
            (Term::GridGramsPerKwh, "--grid", self.grid),
        ]
    }

    /// The terms they state, those of a file below the flags.
    ///
    /// # Errors
    /// A file that does not read, a number that makes no sense.
    pub fn stated(&self) -> Result<Stated, CliError> {
        let mut flags = Stated {
            holding: if self.own { Some(Holding::Own) } else { self.rent },
            currency: self.currency.clone(),
            ..Stated::default()
        };
        for (term, flag, value) in self.figures() {
            let Some(value) = value else { continue };
            let value =
                term.check(value).map_err(|error| CliError::usage(format!("{flag}: {error}"), None))?;
            flags.figures.insert(term, Fact::new(value, Origin::User(flag.to_owned())));
        }
        let Some(path) = &self.terms else { return Ok(flags) };
        let name = path.display().to_string();
        let bytes = std::fs::read(path)
            .map_err(|error| CliError::usage(format!("could not read {name}: {error}"), None))?;
        let file = Stated::from_file(&name, &utf8_text(&name, bytes)?)?;
        Ok(flags.over(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        terms: TermArgs,
    }

    fn parsed(line: &[&str]) -> TermArgs {
        Line::try_parse_from(std::iter::once(&"plan").chain(line)).unwrap().terms
    }

    #[test]
    fn shares_are_per_cent_or_plain() {
        let args = parsed(&["--finance", "8%", "--tax", "0.19", "--rent=spot"]);
        let stated = args.stated().unwrap();
        assert!((stated.figures[&Term::FinanceRate].value - 0.08).abs() < 1e-12);
        assert!((stated.figures[&Term::Tax].value - 0.19).abs() < 1e-12);
        assert_eq!(stated.holding, Some(Holding::Spot));
        assert_eq!(parsed(&["--rent"]).stated().unwrap().holding, Some(Holding::OnDemand));
        assert_eq!(parsed(&["--own"]).stated().unwrap().holding, Some(Holding::Own));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_range() {
        let error = parsed(&["--pue", "0.5"]).stated().unwrap_err().to_string();
        assert!(error.contains("--pue") && error.contains("expected 1 to 4"), "{error}");
        for line in [["--own", "--rent"], ["--rent=own", "--own"], ["--currency", "EUR"], ["--tax", "much"]] {
            assert!(Line::try_parse_from(std::iter::once("plan").chain(line)).is_err(), "{line:?}");
        }
    }
}
