//! Names of placements: short for ids, in words for people.

use crate::perf::deployment::{Engine, Offload, Placement};

/// A short name without blanks, for ids: `tp8-ep8`, `layers4`, `experts-cpu40`.
pub fn slug(placement: &Placement, engine: Engine) -> String {
    let p = placement;
    let mut parts = Vec::new();
    let mut push = |n: u32, name: &str| {
        if n > 1 {
            parts.push(format!("{name}{n}"));
        }
    };
    push(p.replicas, "x");
    push(p.pp, if is_local(engine) { "layersplit" } else { "pp" });
    push(p.dp, "dp");
    push(p.tp, if is_local(engine) { "tensorsplit" } else { "tp" });
    push(if p.expert_parallel { p.expert_ranks() } else { 1 }, "ep");
    push(p.cp, "cp");
    match p.offload {
        Offload::None => {}
        Offload::Experts(n) => parts.push(format!("experts-cpu{n}")),
        Offload::Layers(n) => parts.push(format!("layers-cpu{n}")),
        Offload::All => parts.push("cpu".to_owned()),
    }
    if parts.is_empty() { "one".to_owned() } else { parts.join("-") }
}

/// The same for people: `TP8 EP8`, `4× TP2`, `layer split 2, 40 layers' experts in RAM`.
pub fn words(placement: &Placement, engine: Engine) -> String {
    let p = placement;
    let local = is_local(engine);
    let mut parts = Vec::new();
    if p.offload != Offload::All {
        if p.pp > 1 {
            parts.push(if local { format!("layer split {}", p.pp) } else { format!("PP{}", p.pp) });
        }
        if p.dp > 1 {
            parts.push(format!("DP{}", p.dp));
        }
        if p.tp > 1 {
            parts.push(if local { format!("tensor split {}", p.tp) } else { format!("TP{}", p.tp) });
        }
        if p.expert_parallel && p.expert_ranks() > 1 {
            parts.push(format!("EP{}", p.expert_ranks()));
        }
        if p.cp > 1 {
            parts.push(format!("DCP{}", p.cp));
        }
        if parts.is_empty() {
            parts.push("1 device".to_owned());
        }
    }
    let mut words = parts.join(" ");
    if p.replicas > 1 {
        words = format!("{}× {words}", p.replicas);
    }
    match p.offload {
        Offload::None => words,
        Offload::Experts(n) => format!("{words}, {n} layers' experts in RAM"),
        Offload::Layers(n) => format!("{words}, {n} layers on CPU"),
        Offload::All => "CPU only".to_owned(),
    }
}

/// Whether pipeline and tensor parallelism go by other names there.
fn is_local(engine: Engine) -> bool {
    match engine {
        Engine::LlamaCpp | Engine::IkLlamaCpp | Engine::Mlx | Engine::KTransformers => true,
        Engine::Vllm | Engine::Sglang | Engine::Atom | Engine::TensorRtLlm => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_how_a_model_is_divided() {
        let tp8 = Placement { tp: 8, expert_parallel: true, ..Placement::ONE };
        assert_eq!(slug(&tp8, Engine::Vllm), "tp8-ep8");
        assert_eq!(words(&tp8, Engine::Vllm), "TP8 EP8");
        assert_eq!(slug(&Placement::ONE, Engine::LlamaCpp), "one");
        let part = Placement { pp: 2, offload: Offload::Experts(40), ..Placement::ONE };
        assert_eq!(words(&part, Engine::LlamaCpp), "layer split 2, 40 layers' experts in RAM");
        let cpu = Placement { offload: Offload::All, ..Placement::ONE };
        assert_eq!(words(&cpu, Engine::LlamaCpp), "CPU only");
    }
}
