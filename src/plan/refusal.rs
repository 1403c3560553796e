//! Why nothing can run the way the user fixed it: a fault of the question, not a lack of memory.

use crate::arithmetic::scheme::Offer;
use crate::catalogue::machine::Machine;
use crate::catalogue::nearest::alternatives;
use crate::perf::deployment::{Engine, Placement};
use crate::placement::legal::{Illegal, legal};
use crate::placement::name;
use crate::placement::search::{exact, layouts};
use crate::placement::settings::Settings;
use crate::plan::PlanError;
use crate::plan::options::Search;
use crate::plan::request::Limits;
use std::collections::BTreeSet;

/// The refusal of a search that found nothing to consider, if the user fixed anything.
pub(super) fn refusal(search: &Search<'_>, offers: &[Offer]) -> Option<PlanError> {
    let limits = search.limits;
    let divided = limits.tp.or(limits.pp).or(limits.dp).is_some() || limits.expert_parallel.is_some();
    if !divided && limits.engines.is_empty() && limits.kv.is_none() && limits.formats.is_empty() {
        return None;
    }
    let why = reason(search, offers)?;
    let hint = if divided { possible(search, offers) } else { other_engines(search, offers) };
    Some(PlanError::NoSuchLayout { why, hint })
}

/// The division the user fixed; what is free stays whole.
fn division(limits: &Limits) -> Placement {
    Placement {
        tp: limits.tp.unwrap_or(1),
        pp: limits.pp.unwrap_or(1),
        dp: limits.dp.unwrap_or(1),
        expert_parallel: limits.expert_parallel.unwrap_or(false),
        ..Placement::ONE
    }
}

/// What the fixed division lacks on a machine, whatever the model.
pub(super) fn too_few_devices(limits: &Limits, machine: &Machine) -> Option<String> {
    let division = division(limits);
    let wanted = [division.tp, division.pp, division.dp].map(u64::from).iter().product::<u64>();
    let most = machine.groups().map(|(nodes, group)| nodes * group.count).max().unwrap_or(0);
    match most {
        _ if wanted == 1 => None,
        0 => Some("the machine has no accelerators to divide a model over".to_owned()),
        _ => (wanted > u64::from(most))
            .then(|| format!("it takes {wanted} equal devices, the machine has {most}")),
    }
}

/// What speaks against the fixed division: too few devices, then the model, then the engine.
fn reason(search: &Search<'_>, offers: &[Offer]) -> Option<String> {
    let limits = search.limits;
    let division = division(limits);
    if division.expert_parallel && !search.model.spec.is_moe() {
        return Some(format!("{} has no experts to divide", search.model.spec.name));
    }
    if let Some(why) = too_few_devices(limits, search.machine) {
        return Some(why);
    }
    let layout = exact(search.model, search.machine, division)?;
    let mut refused = Vec::new();
    for Offer { weights, .. } in offers {
        for engine in search.engines() {
            let settings = Settings::of(engine);
            let mut deployment = search.deployment(engine, &settings, weights, layout.clone());
            deployment.kv = search.cache_formats(&settings).first().copied().unwrap_or(deployment.kv);
            refused.push(legal(&deployment).err());
        }
    }
    let illegal: Vec<&Illegal> = refused.iter().flatten().collect();
    if illegal.len() < refused.len() {
        // It could run, yet no engine of ours is asked to: say so rather than blame the model.
        let words = name::words(&layout.placement, Engine::Vllm);
        return Some(format!("{words} is not among the divisions that are compared"));
    }
    illegal.iter().find(|why| blames_model(why)).or(illegal.first()).map(ToString::to_string)
}

/// Whether a reason holds for every engine, because it is about the shape of the model.
const fn blames_model(why: &Illegal) -> bool {
    match why {
        Illegal::Heads { .. }
        | Illegal::KeyValueHeads { .. }
        | Illegal::Experts { .. }
        | Illegal::ExpertBlocks { .. }
        | Illegal::Stages { .. }
        | Illegal::ContextParallel { .. } => true,
        Illegal::Vendor { .. }
        | Illegal::NeedsDevice { .. }
        | Illegal::NeedsX86 { .. }
        | Illegal::NeedsExperts { .. }
        | Illegal::Division { .. }
        | Illegal::Architecture { .. }
        | Illegal::Weights { .. }
        | Illegal::Capability { .. }
        | Illegal::Cache { .. }
        | Illegal::MixedDevices { .. } => false,
    }
}

/// Engines that run what the one asked for does not.
fn other_engines(search: &Search<'_>, offers: &[Offer]) -> Option<String> {
    if search.limits.engines.is_empty() {
        return None;
    }
    let freed = Limits { engines: Vec::new(), ..search.limits.clone() };
    let free = Search { limits: &freed, ..*search };
    let mut able: Vec<&str> = Vec::new();
    for (engine, _) in runnable(&free, offers) {
        if !able.contains(&engine.word()) {
            able.push(engine.word());
        }
    }
    (!able.is_empty()).then(|| format!("{} would run it", alternatives(&able)))
}

/// Every engine and layout of a search that is legal with some format of weights and cache.
fn runnable(search: &Search<'_>, offers: &[Offer]) -> Vec<(Engine, Placement)> {
    let mut found: Vec<(Engine, Placement)> = Vec::new();
    for Offer { weights, .. } in offers {
        for engine in search.engines() {
            let settings = Settings::of(engine);
            for layout in layouts(search.model, search.machine, engine) {
                let division = (engine, layout.placement);
                if found.contains(&division) || !search.admits(&layout) {
                    continue;
                }
                let mut deployment = search.deployment(engine, &settings, weights, layout);
                let runs = search.cache_formats(&settings).into_iter().any(|kv| {
                    deployment.kv = kv;
                    legal(&deployment).is_ok()
                });
                if runs {
                    found.push(division);
                }
            }
        }
    }
    found
}

/// What the first of the fixed numbers could be instead, the others kept.
fn possible(search: &Search<'_>, offers: &[Offer]) -> Option<String> {
    type Number = fn(&Placement) -> u32;
    let limits = search.limits;
    let (flag, number, freed): (&str, Number, Limits) = if limits.tp.is_some() {
        ("tp", |p| p.tp, Limits { tp: None, ..limits.clone() })
    } else if limits.pp.is_some() {
        ("pp", |p| p.pp, Limits { pp: None, ..limits.clone() })
    } else if limits.dp.is_some() {
        ("dp", |p| p.dp, Limits { dp: None, ..limits.clone() })
    } else {
        return None;
    };
    let free = Search { limits: &freed, ..*search };
    let numbers: BTreeSet<u32> = runnable(&free, offers).iter().map(|(_, p)| number(p)).collect();
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    let (last, rest) = numbers.split_last()?;
    let listed = if rest.is_empty() { last.clone() } else { format!("{} or {last}", rest.join(", ")) };
    if numbers == ["1"] {
        return Some(format!("leave --{flag} out"));
    }
    Some(format!("with this model on this machine --{flag} can be {listed}"))
}
