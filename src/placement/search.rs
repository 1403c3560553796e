//! Every way an engine may divide a model over a machine: an explicit list, no prices, no times.
//!
//! Servers use equal devices in powers of two: tensor parallel inside a scale-up domain,
//! attention-DP with whole experts for mixtures, pipeline stages across domains, and independent
//! replicas of what is left. llama.cpp and its kin use one device, a layer split over all of them
//! in proportion to their memory, a tensor split over equal ones, and host memory for experts or
//! layers.

use crate::arithmetic::cache::Content;
use crate::catalogue::machine::{DeviceGroup, Machine, Topology};
use crate::perf::deployment::{Engine, Model, Offload, Placement, Stage};

/// Most cards llama.cpp is offered to split matrices over.
const MOST_TENSOR_SPLIT: u32 = 4;

/// A placement with its pipeline stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How the model is divided.
    pub placement: Placement,
    /// Which layers run on which devices.
    pub stages: Vec<Stage>,
}

/// All layouts worth checking of a model on a machine with an engine.
pub fn layouts(model: &Model, machine: &Machine, engine: Engine) -> Vec<Layout> {
    match engine {
        Engine::LlamaCpp | Engine::IkLlamaCpp => local(model, machine, engine),
        Engine::Vllm | Engine::Sglang | Engine::Atom | Engine::TensorRtLlm => serving(model, machine, engine),
        Engine::Mlx => singles(model, machine),
        Engine::KTransformers => experts_on_host(model, machine),
    }
}

/// The layout that divides a model exactly so over the largest group of devices, whether or not it
/// is worth checking; `None` when the group has too few devices.
pub fn exact(model: &Model, machine: &Machine, division: Placement) -> Option<Layout> {
    let width = division.pp.checked_mul(division.dp.checked_mul(division.tp)?)?;
    let pools = pools(machine);
    let pool = pools.first().filter(|pool| width <= pool.total)?;
    let placement = Placement { replicas: pool.total / width, ..division };
    Some(Layout { stages: even_stages(model.spec.layer_count(), placement.pp, pool.index), placement })
}

/// A group of equal devices over all nodes.
struct Pool<'a> {
    index: usize,
    group: &'a DeviceGroup,
    /// Devices in all nodes.
    total: u32,
    /// Devices that reach each other over the scale-up fabric, or share a node.
    island: u32,
}

/// The groups of equal devices, largest memory first.
fn pools(machine: &Machine) -> Vec<Pool<'_>> {
    let mut pools: Vec<Pool<'_>> = machine
        .groups()
        .enumerate()
        .map(|(index, (nodes, group))| {
            let total = nodes * group.count;
            let fabric =
                matches!(group.topology.value, Topology::Switched | Topology::Mesh | Topology::Bridged);
            let island = if fabric { machine.scale_up_domain.max(group.count) } else { group.count };
            Pool { index, group, total, island: island.min(total) }
        })
        .collect();
    pools.sort_by(|a, b| {
        let memory = |pool: &Pool<'_>| pool.group.memory.value.get() * f64::from(pool.total);
        memory(b).total_cmp(&memory(a)).then(a.index.cmp(&b.index))
    });
    pools
}

/// 1, 2, 4 … up to `most`, and `most` itself.
fn powers(most: u32) -> Vec<u32> {
    let mut sizes: Vec<u32> = (0..u32::BITS).map(|i| 1u32 << i).take_while(|n| *n <= most).collect();
    if !most.is_power_of_two() && most > 0 {
        sizes.push(most);
    }
    sizes
}

/// Layers divided into equal runs, the first ones longer by one.
fn even_stages(layers: u32, pp: u32, group: usize) -> Vec<Stage> {
    let mut start = 0;
    (0..pp)
        .map(|stage| {
            let len = layers / pp + u32::from(stage < layers % pp);
            start += len;
            Stage { group, layers: start - len..start }
        })
        .collect()
}

/// Tensor, expert, attention-data and pipeline parallel layouts of the serving engines.
fn serving(model: &Model, machine: &Machine, engine: Engine) -> Vec<Layout> {
    let layers = model.spec.layer_count();
    let moe = model.spec.is_moe();
    let latent =
        model.cache.iter().any(|c| matches!(c.content, Content::Latent { .. } | Content::Shared { .. }));
    let mut found = Vec::new();
    for pool in pools(machine) {
        for width in powers(pool.total) {
            let inside = width <= pool.island;
            let stages_wanted = if width >= pool.island { powers(pool.total / width) } else { vec![1] };
            for pp in stages_wanted.into_iter().filter(|pp| *pp <= layers) {
                let replicas = pool.total / (width * pp);
                let base = Placement { replicas, pp, tp: width, ..Placement::ONE };
                let mut ways = Vec::new();
                if inside {
                    ways.push(base);
                    if moe && width > 1 {
                        ways.push(Placement { expert_parallel: true, ..base });
                    }
                    if latent && width > 1 && engine == Engine::Vllm {
                        ways.push(Placement { cp: width, ..base });
                    }
                }
                if moe && width > 1 && pp == 1 {
                    ways.push(Placement { tp: 1, dp: width, expert_parallel: true, ..base });
                }
                found.extend(ways.into_iter().map(|placement| Layout {
                    stages: even_stages(layers, placement.pp, pool.index),
                    placement,
                }));
            }
        }
    }
    found
}

/// The whole model on one device, copied to each equal one.
fn singles(model: &Model, machine: &Machine) -> Vec<Layout> {
    let layers = model.spec.layer_count();
    pools(machine)
        .iter()
        .map(|pool| Layout {
            placement: Placement { replicas: pool.total, ..Placement::ONE },
            stages: even_stages(layers, 1, pool.index),
        })
        .collect()
}

/// All routed experts in host memory, the rest on one device.
fn experts_on_host(model: &Model, machine: &Machine) -> Vec<Layout> {
    let layers = model.spec.layer_count();
    let experts = model.spec.expert_layers();
    pools(machine)
        .first()
        .filter(|_| experts > 0)
        .map(|pool| Layout {
            placement: Placement { offload: Offload::Experts(experts), ..Placement::ONE },
            stages: even_stages(layers, 1, pool.index),
        })
        .into_iter()
        .collect()
}

/// Layouts of llama.cpp and its fork; the amounts of offload are steps from little to all.
fn local(model: &Model, machine: &Machine, engine: Engine) -> Vec<Layout> {
    let layers = model.spec.layer_count();
    let pools = pools(machine);
    let mut found = singles(model, machine);
    let unified = pools.iter().any(|pool| pool.group.accelerator.is_unified());
    let split = proportional_stages(layers, &pools);
    if split.len() > 1 {
        let pp = split.len() as u32;
        found.push(Layout { placement: Placement { pp, ..Placement::ONE }, stages: split.clone() });
    }
    // Tensor split divides whole matrices by row; experts gain nothing, and nobody publishes more
    // than a few cards.
    if let [pool] = pools.as_slice()
        && pool.island > 1
        && engine == Engine::LlamaCpp
        && !model.spec.is_moe()
    {
        for tp in powers(pool.island.min(MOST_TENSOR_SPLIT)).into_iter().filter(|tp| *tp > 1) {
            let placement = Placement { replicas: pool.total / tp, tp, ..Placement::ONE };
            found.push(Layout { placement, stages: even_stages(layers, 1, pool.index) });
        }
    }
    if !unified && !split.is_empty() {
        let pp = split.len() as u32;
        let offloads = offload_steps(model.spec.expert_layers())
            .map(Offload::Experts)
            .chain(offload_steps(layers.saturating_sub(pp)).map(Offload::Layers));
        for offload in offloads {
            let stages = match offload {
                Offload::Layers(on_cpu) => shifted(proportional_stages(layers - on_cpu, &pools), on_cpu),
                Offload::None | Offload::Experts(_) | Offload::All => split.clone(),
            };
            let pp = stages.len() as u32;
            found.push(Layout { placement: Placement { pp, offload, ..Placement::ONE }, stages });
        }
    }
    let on_cpu = Placement { offload: Offload::All, ..Placement::ONE };
    if !unified {
        found.push(Layout { placement: on_cpu, stages: Vec::new() });
    }
    found
}

/// 1/16, 2/16 … of `all`, without repeats: fine enough that a step costs a few per cent of speed.
fn offload_steps(all: u32) -> impl Iterator<Item = u32> {
    let mut last = 0;
    (1..=16).filter_map(move |sixteenth| {
        let n = (all * sixteenth).div_ceil(16);
        (n > std::mem::replace(&mut last, n)).then_some(n)
    })
}

/// The stages behind `skipped` layers that stay on the CPU.
fn shifted(stages: Vec<Stage>, skipped: u32) -> Vec<Stage> {
    stages
        .into_iter()
        .map(|s| Stage { layers: s.layers.start + skipped..s.layers.end + skipped, ..s })
        .collect()
}

/// One stage per device, layers in proportion to the memory of each.
fn proportional_stages(layers: u32, pools: &[Pool<'_>]) -> Vec<Stage> {
    let devices: Vec<(usize, f64)> = pools
        .iter()
        .flat_map(|pool| {
            let room = (pool.group.memory.value - pool.group.in_use).get().max(0.0);
            std::iter::repeat_n((pool.index, room), pool.total as usize)
        })
        .take(layers as usize)
        .collect();
    let all: f64 = devices.iter().map(|(_, room)| room).sum();
    if layers == 0 || all <= 0.0 {
        return Vec::new();
    }
    let mut before = 0.0;
    let mut start = 0;
    let mut stages = Vec::new();
    for (group, room) in devices {
        before += room;
        let end = (f64::from(layers) * before / all).round() as u32;
        if end > start {
            stages.push(Stage { group, layers: start..end });
            start = end;
        }
    }
    stages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_cover_every_layer_once() {
        for (layers, pp) in [(61, 4), (32, 8), (3, 2)] {
            let stages = even_stages(layers, pp, 0);
            let covered: Vec<u32> = stages.iter().flat_map(|s| s.layers.clone()).collect();
            assert_eq!(covered, (0..layers).collect::<Vec<_>>());
        }
    }

    #[test]
    fn offload_grows_to_all() {
        assert_eq!(offload_steps(4).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(offload_steps(61).last(), Some(61));
        assert_eq!(offload_steps(0).count(), 0);
    }

    #[test]
    fn sizes_are_powers_and_the_whole() {
        assert_eq!(powers(8), [1, 2, 4, 8]);
        assert_eq!(powers(6), [1, 2, 4, 6]);
        assert_eq!(powers(0), Vec::<u32>::new());
    }
}
