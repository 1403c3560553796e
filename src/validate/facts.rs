//! What a speed row is about, as far as regimes ask: the one place that names them.
//!
//! A regime is written from these facts and nothing else, so that the fine regimes of
//! [`Facts::regime`] and the headline regimes of [`super::headline`] cannot disagree about a row.

/// Depth in the cache from which a context counts as long.
const LONG: f64 = 4096.0;

/// Where the weights are read during a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Everything on the processor.
    Cpu,
    /// Some layers or experts on the processor, the rest on devices.
    Hybrid,
    /// A device that shares the memory of the processor.
    Unified,
    /// Devices with memory of their own.
    Gpu,
}

impl Place {
    /// The word regimes use.
    fn word(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Hybrid => "hybrid",
            Self::Unified => "unified",
            Self::Gpu => "gpu",
        }
    }
}

/// What kind of figure a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Time per output token of one stream, or its rate.
    Tpot,
    /// Time to the first token, or the rate at which prompts are read.
    Ttft,
    /// Tokens of all sequences together.
    Throughput,
}

impl Figure {
    /// The kind of a metric of `local.csv` or `serving.csv`.
    pub fn of(metric: &str) -> Self {
        match metric {
            "tpot_ms" | "interactivity_tps" | "decode_tps" => Self::Tpot,
            "ttft_ms" | "prefill_tps" => Self::Ttft,
            _ => Self::Throughput,
        }
    }

    /// The word regimes of serving use.
    fn word(self) -> &'static str {
        match self {
            Self::Tpot => "tpot",
            Self::Ttft => "ttft",
            Self::Throughput => "throughput",
        }
    }

    /// The word regimes of single machines use.
    pub(super) fn phase(self) -> &'static str {
        match self {
            Self::Ttft => "prefill",
            Self::Tpot | Self::Throughput => "decode",
        }
    }
}

/// How a model is divided over devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Not at all.
    Single,
    /// By layers, devices in turn.
    Layer,
    /// Inside matrices; for serving up to one scale-up domain.
    Tensor,
    /// Experts in parallel inside one scale-up domain.
    Expert,
    /// Attention in data-parallel groups.
    AttentionDp,
    /// One replica beyond a scale-up domain.
    MultiNode,
    /// Prefill and decode in pools of their own.
    Disaggregated,
    /// Not stated, or in a way we do not know.
    Unstated,
}

impl Layout {
    /// The layout of a `split` of `local.csv`.
    pub fn of_split(split: &str) -> Self {
        match split {
            "" | "none" => Self::Single,
            "layer" => Self::Layer,
            "tensor" | "row" => Self::Tensor,
            "expert" => Self::Expert,
            _ => Self::Unstated,
        }
    }

    /// The word regimes of serving use.
    fn word(self) -> &'static str {
        match self {
            Self::Single | Self::Layer | Self::Tensor => "tp",
            Self::Expert => "expert",
            Self::AttentionDp => "attention-dp",
            Self::MultiNode => "multi-node",
            Self::Disaggregated => "disaggregated",
            Self::Unstated => "unstated",
        }
    }
}

/// Why a row is reported beside the regimes and not inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It says what it measured.
    None,
    /// More requests were sent than ran.
    Queueing,
    /// Several tokens per step, or perhaps so.
    Speculative,
}

impl Doubt {
    /// What a regime begins with.
    fn prefix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Queueing => "queueing ",
            Self::Speculative => "speculative ",
        }
    }
}

/// What a speed row is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// Whether a datacenter served requests, or one machine ran a benchmark.
    pub serving: bool,
    /// Whether the model has routed experts; `None` for a model that is not in the catalogue.
    pub moe: Option<bool>,
    /// Where the weights are read.
    pub place: Place,
    /// What kind of figure was measured.
    pub figure: Figure,
    /// Tokens in the cache before.
    pub depth: f64,
    /// Devices; 0 for the processor alone.
    pub devices: u32,
    /// Sequences or requests in flight; `None` = not stated, as many as give the most.
    pub concurrency: Option<f64>,
    /// How the model is divided.
    pub layout: Layout,
    /// Why it is not counted.
    pub doubt: Doubt,
}

impl Facts {
    /// Whether the context is long.
    pub fn is_deep(&self) -> bool {
        self.depth >= LONG
    }

    /// Whether several sequences run at once.
    pub fn is_batched(&self) -> bool {
        self.concurrency.is_some_and(|users| users > 1.0)
    }

    /// Whether several devices work on one model.
    pub fn is_divided(&self) -> bool {
        self.devices > 1 || self.layout != Layout::Single
    }

    /// Whether it counts.
    pub fn is_sound(&self) -> bool {
        self.doubt == Doubt::None
    }

    /// The regime a row is reported in: architecture, place, phase and depth of single machines;
    /// layout, figure, architecture and load of serving.
    pub fn regime(&self) -> String {
        let architecture = match self.moe {
            Some(true) => "moe",
            Some(false) => "dense",
            None => "unknown",
        };
        if self.serving {
            let load = match self.concurrency {
                None => "max",
                Some(..=16.0) => "<=16",
                Some(..=128.0) => "17-128",
                Some(_) => ">128",
            };
            let (doubt, layout, figure) = (self.doubt.prefix(), self.layout.word(), self.figure.word());
            format!("{doubt}{layout} {figure} {architecture} {load}")
        } else {
            let depth = if self.is_deep() { ">=4k" } else { "<4k" };
            format!("{architecture} {} {} {depth}", self.place.word(), self.figure.phase())
        }
    }

    /// Wider regimes that contain it.
    pub fn wider(&self) -> Vec<String> {
        if self.serving {
            return self.is_sound().then(|| format!("all {}", self.figure.word())).into_iter().collect();
        }
        let phase = self.figure.phase();
        [(true, "all"), (self.is_batched(), "several sequences"), (self.is_divided(), "several devices")]
            .into_iter()
            .filter(|(holds, _)| *holds)
            .map(|(_, which)| format!("{which} {phase}"))
            .collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One stream of a dense model on one GPU.
    pub(in crate::validate) const LOCAL: Facts = Facts {
        serving: false,
        moe: Some(false),
        place: Place::Gpu,
        figure: Figure::Tpot,
        depth: 0.0,
        devices: 1,
        concurrency: Some(1.0),
        layout: Layout::Single,
        doubt: Doubt::None,
    };

    /// A dense model served to 64 users on eight devices.
    pub(in crate::validate) const SERVED: Facts =
        Facts { serving: true, devices: 8, concurrency: Some(64.0), layout: Layout::Tensor, ..LOCAL };

    #[test]
    fn regimes_of_single_machines() {
        assert_eq!(LOCAL.regime(), "dense gpu decode <4k");
        assert_eq!(LOCAL.wider(), ["all decode"]);
        let deep = Facts { moe: Some(true), place: Place::Hybrid, depth: 4096.0, ..LOCAL };
        assert_eq!(deep.regime(), "moe hybrid decode >=4k");
        let many = Facts { concurrency: Some(8.0), devices: 2, layout: Layout::Layer, ..LOCAL };
        assert_eq!(many.wider(), ["all decode", "several sequences decode", "several devices decode"]);
        assert_eq!(Facts { moe: None, figure: Figure::Ttft, ..LOCAL }.regime(), "unknown gpu prefill <4k");
    }

    #[test]
    fn regimes_of_serving() {
        assert_eq!(SERVED.regime(), "tp tpot dense 17-128");
        assert_eq!(SERVED.wider(), ["all tpot"]);
        let doubtful = Facts { doubt: Doubt::Queueing, concurrency: None, figure: Figure::Ttft, ..SERVED };
        assert_eq!(doubtful.regime(), "queueing tp ttft dense max");
        assert!(doubtful.wider().is_empty());
        let wide = Facts { layout: Layout::MultiNode, concurrency: Some(129.0), ..SERVED };
        assert_eq!(wide.regime(), "multi-node tpot dense >128");
    }
}
