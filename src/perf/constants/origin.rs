//! Where a constant comes from, and the same constants with one kind of figure changed.

use super::files::Constants;
use super::{Lookup, Reach};
use crate::words;

/// Everything a reader may ask about a constant in use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Provenance<'c> {
    /// The value in use, in `unit`.
    pub value: f64,
    /// How far it was fetched from.
    pub reach: Reach,
    /// Unit.
    pub unit: &'c str,
    /// What it is.
    pub meaning: &'c str,
    /// Where the figures of its table come from.
    pub source: &'c str,
    /// Product of the fitted factors in it; 1 where there are none.
    pub factor: f64,
    /// Measured rows behind the factors.
    pub rows: u64,
}

words! {
    /// Figures of the software and of fabrics that improve together.
    pub enum Subject ("subject of a change") {
        /// Launches, captured or eager, and scheduling.
        Overheads = "overheads",
        /// Rates of collectives between devices.
        Links = "links",
        /// Arithmetic of devices whose peak is not in the catalogue.
        Arithmetic = "arithmetic",
    }
}

impl Subject {
    /// The constants it is made of.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Overheads => &[
                "attention_t0",
                "cpu_t_layer",
                "gemm_t0",
                "host_layer",
                "hyper_fixed",
                "latent_t0",
                "moe_t0",
                "recurrent_t0",
                "sequence",
                "small",
                "step",
                "t_layer",
                "t_micro_batch",
                "t_moe",
                "t_state",
                "t_token",
            ],
            Self::Links => &["alltoall_bus", "host_bus", "pcie_bus", "switched_bus"],
            Self::Arithmetic => &["apple_core_rate"],
        }
    }
}

impl Constants {
    /// The value of a constant as it was looked up, with its origin.
    pub fn provenance(&self, lookup: &Lookup) -> Option<Provenance<'_>> {
        let Lookup { name, asked, kind } = *lookup;
        let constant = self.constant(name)?;
        let found = self.find(name, asked, kind)?;
        let keys = constant.table.levels.iter().map(|level| super::Key::of(level, &asked, kind));
        let used = constant.factors.iter().filter(|factor| keys.clone().any(|key| key == factor.key));
        let (factor, rows) = used.fold((1.0, 0), |(f, n), one| (f * one.value, one.rows.max(n)));
        Some(Provenance {
            value: found.value,
            reach: found.reach,
            unit: &constant.table.unit,
            meaning: &constant.table.meaning,
            source: &constant.source,
            factor,
            rows,
        })
    }

    /// The same constants with every value of a subject multiplied.
    #[must_use]
    pub fn changed(&self, subject: Subject, by: f64) -> Self {
        let mut other = self.clone();
        for constant in &mut other.list {
            if !subject.names().contains(&constant.name.as_str()) {
                continue;
            }
            constant.table.general = constant.table.general.map(|value| value * by);
            for cell in &mut constant.table.cells {
                cell.value *= by;
            }
        }
        if subject == Subject::Overheads {
            // Modules measured as a whole keep their launches in the fixed term.
            for point in other.modules.iter_mut().flat_map(|module| &mut module.points) {
                point.fixed *= by;
            }
        }
        other
    }
}

#[cfg(test)]
mod tests {
    use super::super::constants;
    use super::*;

    #[test]
    fn every_subject_names_constants_that_exist() {
        for name in Subject::ALL.iter().flat_map(|subject| subject.names()) {
            assert!(constants().constant(name).is_some(), "{name}");
        }
    }
}
