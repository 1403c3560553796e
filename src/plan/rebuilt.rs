//! The deployment behind an option of a plan, made again from what the option says.

use crate::arithmetic::scheme::Scheme;
use crate::arithmetic::weights::Weights;
use crate::perf::deployment::Deployment;
use crate::placement::fit::verdict;
use crate::placement::ledger::Ledger;
use crate::placement::search::layouts;
use crate::placement::settings::Settings;
use crate::plan::answer::Candidate;
use crate::plan::options::Search;

/// The weights of an option; none if its format is not one we know.
pub(super) fn weights(search: &Search<'_>, option: &Candidate) -> Option<Weights> {
    let scheme = Scheme::parse(&option.format).ok()?;
    Some(scheme.weigh(&search.model.spec, &search.model.inventory))
}

/// The deployment an option was evaluated as, with its memory; none if the search does not have it.
pub(super) fn deployment<'a>(
    search: &'a Search<'_>,
    weights: &'a Weights,
    option: &Candidate,
) -> Option<(Deployment<'a>, Ledger)> {
    let settings = Settings::of(option.engine);
    let alike = layouts(search.model, search.machine, option.engine)
        .into_iter()
        .filter(|layout| layout.placement == option.placement);
    // Groups of unlike devices may be divided alike: the device that is named tells which it is.
    alike.into_iter().find_map(|layout| {
        let mut deployment = search.deployment(option.engine, &settings, weights, layout);
        deployment.kv = option.kv_format;
        let ledger = Ledger::of(&deployment);
        let same = ledger.worst().is_some_and(|worst| worst.name == option.worst_device);
        (same && verdict(&ledger).fits()).then_some((deployment, ledger))
    })
}
