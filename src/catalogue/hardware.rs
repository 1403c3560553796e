//! What a machine is made of: accelerators, processors, links, systems, offers and prices.
//!
//! These are the entries of `hardware-profiles/`. [`Machine`] is the resolved hardware of one
//! question: every reference followed, every assumption written down.

use crate::catalogue::decode::{Count, Decode, Problems, RATE_UNITS, mismatch, quantity};
use crate::units::{Bandwidth, Bytes, FlopRate, Money, parse_rate};
use crate::{table, words};
use toml::Spanned;
use toml::de::DeValue;

pub use crate::catalogue::machine::{DeviceGroup, Host, Machine, MachinePrice, Node, Topology};

words! {
    /// How an accelerator's memory relates to the host's.
    pub enum MemoryPool ("memory pool") {
        /// Memory of its own behind a link.
        Own = "own",
        /// One pool shared with the CPU.
        Unified = "unified",
    }
}

table! {
    /// One accelerator model.
    pub struct Accelerator ("an accelerator") {
        /// Name as drivers and vendors write it.
        pub name: String,
        /// Maker.
        pub vendor: String,
        /// Architecture, as the vendor calls it.
        pub arch: String,
        /// CUDA compute capability or the vendor's equivalent.
        pub compute_capability: Option<String>,
        /// Date of release.
        pub released: Option<String>,
        /// Marketed memory, in the unit the vendor prints; absent where the chip is sold with
        /// several sizes, which the machine then has to state. See [`chip_bytes`].
        pub memory: Option<Bytes>,
        /// What the driver reports as total, when known.
        pub usable: Option<Bytes>,
        /// Memory type.
        pub memory_type: Option<String>,
        /// Whether the memory is shared with the CPU.
        pub pool: Option<MemoryPool>,
        /// Peak memory bandwidth.
        pub bandwidth: Bandwidth,
        /// Peak dense rates in TFLOP/s (TOP/s for integers).
        pub rates: Rates,
        /// How the rates were obtained: from a datasheet, or by which rule.
        pub rates_basis: Option<String>,
        /// Board or package power limit, watts.
        pub tdp_w: Option<f64>,
        /// PCIe generation.
        pub pcie_gen: Option<Count>,
        /// PCIe lanes.
        pub pcie_lanes: Option<Count>,
        /// Scale-up link between devices.
        pub link: Option<DeviceLink>,
        /// Second-level cache.
        pub l2: Option<Bytes>,
        /// Prices of one device.
        pub price: Vec<Price>,
        /// `released`, `announced`, `rumoured`.
        pub status: Option<String>,
        /// Grade of the entry: A datasheet, B secondary, C estimate.
        pub grade: Option<String>,
        /// What the figures were compared with.
        pub crosscheck: Option<String>,
        /// Names the driver reports, where they are not the marketed name.
        pub driver_names: Vec<String>,
        /// Other names people type.
        pub aliases: Vec<String>,
        /// What a reader should know.
        pub note: Option<String>,
        /// Where the figures stand.
        pub source: String,
    }
}

table! {
    /// Peak dense rates by precision, TFLOP/s; blank where not known.
    pub struct Rates ("peak rates") {
        /// Single precision.
        pub fp32: Option<f64>,
        /// TF32 on matrix units.
        pub tf32: Option<f64>,
        /// Half precision, accumulating in single.
        pub fp16: Option<f64>,
        /// Half precision, accumulating in half.
        pub fp16_acc16: Option<f64>,
        /// bfloat16.
        pub bf16: Option<f64>,
        /// 8-bit float.
        pub fp8: Option<f64>,
        /// 4-bit float.
        pub fp4: Option<f64>,
        /// 8-bit integer.
        pub int8: Option<f64>,
    }
}

table! {
    /// The scale-up link of an accelerator.
    pub struct DeviceLink ("a device link") {
        /// `NVLink 4`, `Infinity Fabric`, …
        pub name: String,
        /// Both directions together, per device.
        pub bandwidth: Option<Bandwidth>,
        /// Most devices one fabric joins.
        pub domain: Option<Count>,
    }
}

table! {
    /// A price with its date.
    pub struct Price ("a price") {
        /// `msrp`, `street`, `used`, `purchase`, `devices only`.
        pub basis: String,
        /// US dollars; absent where the source gives a range.
        pub usd: Option<f64>,
        /// Lower end of the range, US dollars.
        pub low: Option<f64>,
        /// Upper end of the range, US dollars.
        pub high: Option<f64>,
        /// Date.
        pub date: Option<String>,
        /// Where it stands.
        pub source: Option<String>,
    }
}

table! {
    /// One processor model.
    pub struct Cpu ("a processor") {
        /// Name.
        pub name: String,
        /// Maker.
        pub vendor: String,
        /// Product family.
        pub family: Option<String>,
        /// Physical cores.
        pub cores: Option<Count>,
        /// Base clock, GHz.
        pub base_ghz: Option<f64>,
        /// Clock with all cores busy, GHz.
        pub all_core_ghz: Option<f64>,
        /// Highest clock, GHz.
        pub max_ghz: Option<f64>,
        /// Memory type.
        pub memory_type: Option<String>,
        /// Memory channels of one socket.
        pub channels: Option<Count>,
        /// Highest memory speed, MT/s.
        pub memory_mt_s: Option<Count>,
        /// Peak memory bandwidth of one socket.
        pub bandwidth: Option<Bandwidth>,
        /// Measured STREAM bandwidth.
        pub stream: Option<Bandwidth>,
        /// Where the STREAM figure stands.
        pub stream_source: Option<String>,
        /// Instruction sets that matter: `avx2`, `avx512`, `vnni`, `amx`, `neon`, `sve`.
        pub isa: Vec<String>,
        /// Most sockets in one node.
        pub sockets_max: Option<Count>,
        /// Power limit, watts.
        pub tdp_w: Option<f64>,
        /// Price in US dollars.
        pub price_usd: Option<f64>,
        /// PCIe generation and lanes.
        pub pcie: Option<String>,
        /// What a reader should know.
        pub note: Option<String>,
        /// Where the figures stand.
        pub source: String,
    }
}

table! {
    /// One kind of link.
    pub struct Link ("a link") {
        /// Name.
        pub name: String,
        /// `pcie`, `nvlink`, `ethernet`, `infiniband`, …
        pub class: String,
        /// Theoretical rate in one direction.
        pub one_way: Option<Bandwidth>,
        /// Theoretical rate of both directions.
        pub both_ways: Option<Bandwidth>,
        /// Measured rate in one direction.
        pub achieved: Option<Bandwidth>,
        /// What was measured.
        pub achieved_note: Option<String>,
        /// Latency, microseconds.
        pub latency_us: Option<f64>,
        /// Lowest and highest latency reported, microseconds, where the sources differ.
        pub latency_range_us: Vec<f64>,
        /// What the latency includes.
        pub latency_note: Option<String>,
        /// Lanes or links.
        pub lanes: Option<Count>,
        /// Where the figures stand.
        pub source: String,
        /// Date.
        pub date: Option<String>,
        /// What a reader should know.
        pub note: Option<String>,
    }
}

table! {
    /// A complete system as it is sold; counts, memory, power and prices are of all its nodes.
    pub struct System ("a system") {
        /// Name.
        pub name: String,
        /// Maker.
        pub vendor: String,
        /// `server`, `rack`, `desktop`, `laptop`, `cluster`.
        pub form: String,
        /// Catalogue id of the accelerator.
        pub accelerator: String,
        /// Devices of the system.
        pub count: Count,
        /// Nodes of the system; one if absent.
        pub nodes: Option<Count>,
        /// Processors of one node, as text: `2x Xeon Platinum 8480C`.
        pub cpu: Option<String>,
        /// Memory of all hosts.
        pub ram: Option<Bytes>,
        /// Unified memory of each node, where the nodes differ.
        pub node_memory: Vec<Bytes>,
        /// How the devices are joined, as the source says it.
        pub scale_up: Option<String>,
        /// Network between nodes, of one device.
        pub network: Option<LinkRef>,
        /// Network ports, as the source says it.
        pub network_text: Option<String>,
        /// Wall power under load, watts.
        pub power_w: Option<f64>,
        /// Prices.
        pub price: Vec<Price>,
        /// Date of the figures.
        pub date: Option<String>,
        /// What a reader should know.
        pub note: Option<String>,
        /// Where the figures stand.
        pub source: String,
    }
}

table! {
    /// Hardware for rent; prices are US dollars per hour of the whole offer.
    pub struct Offer ("an offer") {
        /// Name.
        pub name: String,
        /// Who rents it out.
        pub provider: String,
        /// `cloud` for an offer, `index` for a range over the market.
        pub kind: String,
        /// Catalogue id of the accelerator.
        pub accelerator: String,
        /// Devices of the offer; below one for a partition.
        pub count: f64,
        /// Processors, as text.
        pub cpu: Option<String>,
        /// Memory of the host.
        pub ram: Option<Bytes>,
        /// How the devices are joined, as the source says it.
        pub scale_up: Option<String>,
        /// Network, as the source says it.
        pub network: Option<String>,
        /// Price without commitment.
        pub on_demand: Option<f64>,
        /// Price with a commitment of one year.
        pub reserved_1yr: Option<f64>,
        /// Price with a commitment of three years.
        pub reserved_3yr: Option<f64>,
        /// Price of interruptible use.
        pub spot: Option<f64>,
        /// Regions the price holds in.
        pub region: Option<String>,
        /// Date of the price.
        pub date: Option<String>,
        /// What a reader should know.
        pub note: Option<String>,
        /// Where the price stands.
        pub source: String,
    }
}

table! {
    /// One figure of what owning and running hardware costs.
    pub struct EconomicFigure ("an economic figure") {
        /// `power_price`, `pue`, `depreciation`, …
        pub category: String,
        /// Central figure.
        pub value: Option<f64>,
        /// Lower end of the range.
        pub low: Option<f64>,
        /// Upper end of the range.
        pub high: Option<f64>,
        /// Unit of the figures.
        pub unit: String,
        /// What the figure is of.
        pub scope: String,
        /// Date.
        pub date: Option<String>,
        /// What a reader should know.
        pub note: Option<String>,
        /// Where it stands.
        pub source: String,
    }
}

/// A link named by its catalogue id, or a rate of one direction.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum LinkRef {
    /// Catalogue id of a link.
    Id(String),
    /// A rate of one direction.
    Rate(Bandwidth),
}

impl Decode for LinkRef {
    fn expected() -> String {
        "a link such as \"ib-ndr\" or a rate such as \"400 Gb/s\"".to_owned()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        let Some(text) = value.get_ref().as_str() else {
            mismatch(value, &Self::expected(), problems);
            return None;
        };
        // A rate starts with a digit; no link id does.
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            return Some(Self::Id(text.to_owned()));
        }
        quantity(value, &Self::expected(), parse_rate, RATE_UNITS, problems).map(Self::Rate)
    }
}

impl Price {
    /// The price, or the middle of its range.
    pub fn likely(&self) -> Option<Money> {
        let middle = self.low.zip(self.high).map(|(low, high)| f64::midpoint(low, high));
        self.usd.or(middle).map(Money::new)
    }
}

impl Offer {
    /// Price per device and hour without commitment.
    pub fn on_demand_per_device(&self) -> Option<Money> {
        let price = self.on_demand?;
        (self.count > 0.0).then(|| Money::new(price / self.count))
    }
}

impl Accelerator {
    /// Whether the memory is shared with the CPU.
    pub fn is_unified(&self) -> bool {
        self.pool == Some(MemoryPool::Unified)
    }

    /// Whether the devices of a node are joined by a fabric that comes with them, not by a bridge
    /// that has to be bought.
    pub fn has_fabric(&self) -> bool {
        self.link.as_ref().is_some_and(|link| {
            !link.name.contains("bridge") && link.domain.is_some_and(|domain| domain.get() > 2)
        })
    }

    /// Peak dense rate of a matrix multiplication in 16-bit floats.
    ///
    /// Parts without matrix units may multiply halves slower than singles; those use singles.
    pub fn matrix_rate(&self) -> Option<FlopRate> {
        let rates = [self.rates.bf16, self.rates.fp16, self.rates.fp32];
        rates.into_iter().flatten().map(FlopRate::tflops).reduce(FlopRate::max)
    }
}

/// The size of memory chips sold as `marketed`.
///
/// DRAM is made in powers of two, and vendors print its gibibytes as "GB": a "24 GB" card holds
/// 24 GiB, a "64 GB" module 64 GiB. A figure that is a whole number of GiB already stays.
pub fn chip_bytes(marketed: Bytes) -> Bytes {
    let gib = marketed.in_gib();
    if (gib - gib.round()).abs() < 1e-6 { marketed } else { Bytes::gib(marketed.get() / 1e9) }
}
