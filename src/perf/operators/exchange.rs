//! Collectives, and the exchange of tokens between ranks that hold different experts.
//!
//! Ranks are interpolated between those measured and never beyond them: past the largest group
//! lies another network. Message sizes are bytes of the whole buffer of a rank.

use super::OperatorsError;
use super::columns::{column, column_or, read};
use super::folder::Table;
use super::format::{Format, Rates};
use super::grid::{Grid, Scale, Timing, apart};
use super::groups::{Gather, Groups};

/// A collective.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collective {
    /// Every rank gets the sum.
    AllReduce,
    /// Every rank gets all parts.
    AllGather,
    /// Every rank gets its part of the sum.
    ReduceScatter,
    /// Every rank sends each other one a part.
    AllToAll,
}

/// How kernels reach the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Launch {
    /// Replayed from a captured graph.
    Graph,
    /// One by one.
    Eager,
}

/// Collectives of one device: ranks, bytes.
#[derive(Clone, Debug)]
pub(super) struct Collectives {
    /// The engine's own all-reduce.
    custom: Option<Groups<Launch, (Grid<2>, Rates)>>,
    /// Those of the vendor's library, by element width.
    library: Option<Groups<(Collective, Format), (Grid<2>, Rates)>>,
}

/// Bytes each rank moves; a place is ranks, bytes.
fn moved(at: &[f64; 2]) -> f64 {
    at[1] * (1.0 - 1.0 / at[0].max(1.5))
}

fn collective_work(rates: Rates) -> impl Fn(&[f64; 2]) -> f64 {
    move |at| rates.work(0.0, moved(at))
}

fn collective_grid(points: Vec<([f64; 2], f64)>) -> Option<(Grid<2>, Rates)> {
    let rates = Rates::of(points.iter().map(|(at, seconds)| (1.0, moved(at), *seconds)));
    Some((Grid::new([Scale::Log; 2], points)?, rates))
}

impl Collectives {
    /// Reads the tables of an engine and of the library, newest first.
    pub(super) fn load(custom: &[&Table], library: &[&Table]) -> Result<Option<Self>, OperatorsError> {
        let custom = Gather::of(custom, |path, gather| {
            let read = read(
                path,
                [column("num_gpus"), column("message_size"), column("latency")],
                [column_or("allreduce_dtype", "bfloat16"), column_or("backend", "graph")],
            )?;
            let [ranks, elements, latency] = read.numbers;
            let width = read.words[0].each(Format::named);
            let launches = read.words[1]
                .each(|word| if word.ends_with("eager") { Launch::Eager } else { Launch::Graph });
            for row in 0..latency.len() {
                if width[row] == Some(Format::Bf16) {
                    let at = [ranks[row], elements[row] * 2.0];
                    gather.add(Some((launches[row], ranks[row] as u32)), at, latency[row] * 1e-3);
                }
            }
            Ok(())
        })?;
        let library = Gather::of(library, |path, gather| {
            let read = read(
                path,
                [column("num_gpus"), column("message_size"), column("latency")],
                [column("nccl_dtype"), column("op_name")],
            )?;
            let [ranks, elements, latency] = read.numbers;
            let formats = read.words[0].each(|word| match word {
                "half" => Some((Format::Bf16, 2.0)),
                "int8" => Some((Format::Fp8, 1.0)),
                _ => None,
            });
            let collectives = read.words[1].each(|word| match word {
                "all_reduce" => Some(Collective::AllReduce),
                "all_gather" => Some(Collective::AllGather),
                "reduce_scatter" => Some(Collective::ReduceScatter),
                "alltoall" => Some(Collective::AllToAll),
                _ => None,
            });
            for row in 0..latency.len() {
                let Some((collective, (format, width))) = collectives[row].zip(formats[row]) else {
                    continue;
                };
                let at = [ranks[row], elements[row] * width];
                gather.add(Some(((collective, format), ranks[row] as u32)), at, latency[row] * 1e-3);
            }
            Ok(())
        })?;
        let custom = custom.by(|(launch, _)| *launch).build(|_, points| collective_grid(points));
        let library = library.by(|(of, _)| *of).build(|_, points| collective_grid(points));
        Ok((custom.is_some() || library.is_some()).then_some(Self { custom, library }))
    }

    /// Seconds of a collective: the engine's own where it has one, else the library's.
    pub(super) fn time(&self, of: Collective, launch: Launch, ranks: f64, bytes: f64) -> Option<Timing> {
        let own = (of == Collective::AllReduce).then_some(self.custom.as_ref()).flatten();
        let own = own.and_then(|own| own.get(&launch).or_else(|| own.get(&Launch::Graph)));
        let library = self.library.as_ref().and_then(|library| library.get(&(of, Format::Bf16)));
        let covers = |pair: &&(Grid<2>, Rates)| {
            let (least, most) = pair.0.span();
            (least..=most).contains(&ranks)
        };
        let (grid, rates) = own.filter(covers).or_else(|| library.filter(covers))?;
        Some(grid.at(&[ranks, bytes], &collective_work(*rates)))
    }

    /// The grids with their work.
    #[cfg(test)]
    pub(super) fn grids(&self) -> impl Iterator<Item = (&Grid<2>, impl Fn(&[f64; 2]) -> f64)> {
        let custom = self.custom.iter().flat_map(|groups| groups.iter().map(|(_, pair)| pair));
        let library = self.library.iter().flat_map(|groups| groups.iter().map(|(_, pair)| pair));
        custom.chain(library).map(|(grid, rates)| (grid, collective_work(*rates)))
    }
}

/// A way of exchanging tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// Kernels for many tokens (prefill).
    Throughput,
    /// Kernels for few tokens (decode).
    Latency,
    /// Kernels that write into the memory of other devices.
    Direct,
}

/// A direction of the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Tokens go to their experts.
    Dispatch,
    /// Results come back.
    Combine,
}

/// An exchange of tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exchange {
    /// The kernels.
    pub way: Way,
    /// Where tokens go.
    pub direction: Direction,
    /// What is sent.
    pub format: Format,
    /// Ranks.
    pub ep: f64,
    /// Width of a token.
    pub hidden: f64,
    /// Experts of a token.
    pub active: f64,
    /// Experts of the layer.
    pub count: f64,
}

/// What points of a grid agree in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sent {
    way: Way,
    direction: Direction,
    format: Format,
    hidden: u32,
    active: u32,
    count: u32,
}

/// Exchanges of one device and engine: ranks, tokens of a rank.
#[derive(Clone, Debug)]
pub(super) struct Exchanges {
    groups: Groups<Sent, (Grid<2>, Rates)>,
}

/// The tables of exchanges.
pub(super) const EXCHANGES: [&str; 4] =
    ["moe_a2a", "trtllm_alltoall", "wideep_deepep_ll", "wideep_deepep_normal"];

fn sent_work(rates: Rates) -> impl Fn(&[f64; 2]) -> f64 {
    move |at| rates.work(0.0, at[1])
}

/// What a direction sends unless a table says otherwise: 8 bit out, 16 bit back.
const fn usual(direction: Direction) -> Format {
    match direction {
        Direction::Dispatch => Format::Fp8,
        Direction::Combine => Format::Bf16,
    }
}

impl Exchanges {
    /// Reads the tables, newest first within each operator. `node` is the devices of a node.
    pub(super) fn load(tables: &[&Table], node: f64) -> Result<Option<Self>, OperatorsError> {
        let gather = Gather::of(tables, |path, gather| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            match name.as_ref() {
                name if name.starts_with("moe_a2a") => any(path, gather),
                name if name.starts_with("trtllm") => direct(path, gather),
                name => {
                    let latency = name.contains("_ll_");
                    deep(path, latency, node, gather)
                }
            }
        })?;
        let groups = gather.by(|(sent, _)| *sent).build(|_, points| {
            let rates = Rates::of(points.iter().map(|(at, seconds)| (1.0, at[1], *seconds)));
            Some((Grid::new([Scale::Log; 2], points)?, rates))
        });
        Ok(groups.map(|groups| Self { groups }))
    }

    /// Seconds of an exchange with `tokens` on each rank; `None` outside the ranks measured.
    pub(super) fn time(&self, asked: &Exchange, tokens: f64) -> Option<Timing> {
        let shape = [asked.hidden, asked.active, asked.count];
        let of = |sent: &Sent| [sent.hidden, sent.active, sent.count].map(f64::from);
        let far = |sent: &Sent| {
            let format = if sent.format == asked.format { 1.0 } else { 8.0 };
            let ratios = of(sent).into_iter().zip(shape).map(|(a, b)| apart(a, b));
            let same = sent.way == asked.way && sent.direction == asked.direction;
            same.then(|| ratios.product::<f64>() * format)
        };
        let (sent, (grid, rates), far) = self.groups.nearest(far)?;
        let (least, most) = grid.span();
        if !(least..=most).contains(&asked.ep) {
            return None;
        }
        let timing = grid.at(&[asked.ep, tokens], &sent_work(*rates));
        if far <= 1.0 {
            return Some(timing);
        }
        let width = asked.format.weight_bytes() / sent.format.weight_bytes();
        let bytes = asked.hidden * asked.active / f64::from(sent.hidden) / f64::from(sent.active);
        let work = rates.work(0.0, tokens);
        Some(grid.scaled(timing, work, work * width * bytes))
    }

    /// The grids with their work.
    #[cfg(test)]
    pub(super) fn grids(&self) -> impl Iterator<Item = (&Grid<2>, impl Fn(&[f64; 2]) -> f64)> {
        self.groups.iter().map(|(_, (grid, rates))| (grid, sent_work(*rates)))
    }
}

/// One table of any way, in microseconds.
fn any(path: &std::path::Path, gather: &mut Gather<(Sent, u32), 2>) -> Result<(), OperatorsError> {
    let read = read(
        path,
        [
            column("ep_size"),
            column("num_tokens"),
            column("hidden_size"),
            column("topk"),
            column("num_experts"),
            column("latency"),
        ],
        [column("comm_backend"), column("phase"), column("comm_dtype")],
    )?;
    let [ep, tokens, hidden, active, count, latency] = read.numbers;
    let ways = read.words[0].each(|word| match word {
        word if word.ends_with("_ll") || word.ends_with("_generation") => Some(Way::Latency),
        word if word.ends_with("_ht") || word.ends_with("_context") => Some(Way::Throughput),
        _ => None,
    });
    let directions = read.words[1].each(|word| match word {
        "dispatch" => Some(Direction::Dispatch),
        "combine" => Some(Direction::Combine),
        _ => None,
    });
    let formats = read.words[2].each(|word| (word == "default", Format::named(word)));
    for row in 0..latency.len() {
        let sent = ways[row].zip(directions[row]).and_then(|(way, direction)| {
            let (default, named) = formats[row];
            let format = if default { usual(direction) } else { named? };
            let (hidden, active, count) = (hidden[row] as u32, active[row] as u32, count[row] as u32);
            Some(Sent { way, direction, format, hidden, active, count })
        });
        gather.add(sent.map(|sent| (sent, ep[row] as u32)), [ep[row], tokens[row]], latency[row] * 1e-6);
    }
    Ok(())
}

/// One table of direct writes, in milliseconds.
fn direct(path: &std::path::Path, gather: &mut Gather<(Sent, u32), 2>) -> Result<(), OperatorsError> {
    let read = read(
        path,
        [
            column("moe_ep_size"),
            column("num_tokens"),
            column("hidden_size"),
            column("topk"),
            column("num_experts"),
            column("latency"),
        ],
        [column("op_name"), column("moe_dtype")],
    )?;
    let [ep, tokens, hidden, active, count, latency] = read.numbers;
    let directions = read.words[0].each(|word| match word {
        "alltoall_dispatch" => Some(Direction::Dispatch),
        "alltoall_combine" => Some(Direction::Combine),
        _ => None,
    });
    let formats = read.words[1].each(Format::named);
    for row in 0..latency.len() {
        let sent = directions[row].zip(formats[row]).map(|(direction, format)| Sent {
            way: Way::Direct,
            direction,
            format,
            hidden: hidden[row] as u32,
            active: active[row] as u32,
            count: count[row] as u32,
        });
        gather.add(sent.map(|sent| (sent, ep[row] as u32)), [ep[row], tokens[row]], latency[row] * 1e-3);
    }
    Ok(())
}

/// One table of both directions side by side, in microseconds, over so many nodes.
fn deep(
    path: &std::path::Path,
    few: bool,
    node: f64,
    gather: &mut Gather<(Sent, u32), 2>,
) -> Result<(), OperatorsError> {
    let [out, back] = if few {
        ["dispatch_avg_t_us", "combine_avg_t_us"]
    } else {
        ["dispatch_transmit_us", "combine_transmit_us"]
    };
    let read = read(
        path,
        [
            column("node_num"),
            column("num_token"),
            column("hidden_size"),
            column("num_topk"),
            column("num_experts"),
            column(out),
            column(back),
            column_or("dispatch_notify_us", 0.0),
            column_or("combine_notify_us", 0.0),
        ],
        [],
    )?;
    let [nodes, tokens, hidden, active, count, out, back, out_notice, back_notice] = read.numbers;
    let way = if few { Way::Latency } else { Way::Throughput };
    for row in 0..out.len() {
        for (direction, us) in [
            (Direction::Dispatch, out[row] + out_notice[row]),
            (Direction::Combine, back[row] + back_notice[row]),
        ] {
            let sent = Sent {
                way,
                direction,
                format: usual(direction),
                hidden: hidden[row] as u32,
                active: active[row] as u32,
                count: count[row] as u32,
            };
            gather.add(Some((sent, nodes[row] as u32)), [nodes[row] * node, tokens[row]], us * 1e-6);
        }
    }
    Ok(())
}
