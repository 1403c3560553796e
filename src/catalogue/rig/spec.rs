//! What a rig file may say, before anything is looked up.
//!
//! A single node is written at the top level; several nodes as `[[node]]`. Most keys take a short
//! form (`accelerator = "2x rtx-3090"`, `ram = "64 GiB"`) or a table with more to say.

use crate::catalogue::decode::{At, Count, Decode, Problems, mismatch};
use crate::catalogue::hardware::{Accelerator, LinkRef, Topology};
use crate::table;
use crate::units::{Bandwidth, Bytes};
use toml::Spanned;
use toml::de::DeValue;

table! {
    /// A rig file.
    pub struct Rig ("a rig") {
        /// Name for reports.
        pub name: Option<String>,
        /// Catalogue id of a complete system to start from.
        pub system: Option<At<String>>,
        /// How many such nodes or systems; one if absent.
        pub count: Option<At<Count>>,
        /// Nodes, where there are several kinds.
        pub node: Vec<RigNode>,
        /// Devices of the one kind of node.
        pub accelerator: RigDevices,
        /// Processor of the one kind of node.
        pub cpu: Option<RigCpu>,
        /// Memory of the one kind of node.
        pub ram: Option<RigRam>,
        /// Disk of the one kind of node.
        pub disk: Option<RigDisk>,
        /// Network between nodes.
        pub network: Option<At<LinkRef>>,
        /// What the machine costs.
        pub price: Option<RigPrice>,
    }
}

table! {
    /// A kind of node.
    pub struct RigNode ("a node") {
        /// Name for reports.
        pub name: Option<String>,
        /// How many; one if absent.
        pub count: Option<At<Count>>,
        /// Devices of each.
        pub accelerator: RigDevices,
        /// Processor.
        pub cpu: Option<RigCpu>,
        /// Memory.
        pub ram: Option<RigRam>,
        /// Disk.
        pub disk: Option<RigDisk>,
    }
}

table! {
    /// A group of equal devices.
    pub struct RigDevice ("an accelerator of a rig") {
        /// Name in the catalogue.
        pub id: Option<At<String>>,
        /// How many; one if absent.
        pub count: Option<At<Count>>,
        /// Installed memory, or what the driver reports.
        pub memory: Option<At<Bytes>>,
        /// Memory others use.
        pub in_use: Option<At<Bytes>>,
        /// Measured memory bandwidth.
        pub bandwidth: Option<At<Bandwidth>>,
        /// How the devices reach each other.
        pub topology: Option<At<Topology>>,
        /// Link of each device to the host: `pcie4-x8` or a rate.
        pub host_link: Option<At<LinkRef>>,
        /// Price of one, US dollars.
        pub price_usd: Option<At<f64>>,
        /// Description of a device that is not in the catalogue.
        pub spec: Option<At<Accelerator>>,
    }
}

table! {
    /// A processor.
    pub struct RigCpuTable ("a processor of a rig") {
        /// Name in the catalogue.
        pub id: Option<At<String>>,
        /// Name, where it is not in the catalogue.
        pub name: Option<At<String>>,
        /// Sockets; one if absent.
        pub sockets: Option<At<Count>>,
        /// Cores of all sockets.
        pub cores: Option<At<Count>>,
        /// Clock with all cores busy, GHz.
        pub clock_ghz: Option<At<f64>>,
        /// Instruction sets: `avx2`, `avx512`, `vnni`, `amx`, `neon`, `sve`.
        pub isa: Vec<String>,
    }
}

table! {
    /// Memory.
    pub struct RigRamTable ("the memory of a rig") {
        /// Size of one node.
        pub size: At<Bytes>,
        /// Channels in use, of all sockets together.
        pub channels: Option<At<Count>>,
        /// Speed, MT/s.
        pub mt_s: Option<At<Count>>,
        /// Memory others use.
        pub in_use: Option<At<Bytes>>,
        /// Bandwidth of all sockets.
        pub bandwidth: Option<At<Bandwidth>>,
        /// Date on which the bandwidth was measured on this machine.
        pub measured: Option<At<String>>,
    }
}

table! {
    /// A disk.
    pub struct RigDiskTable ("the disk of a rig") {
        /// Sequential read.
        pub read: Option<At<LinkRef>>,
        /// Free space.
        pub free: Option<At<Bytes>>,
        /// Date on which the read was measured on this machine.
        pub measured: Option<At<String>>,
    }
}

table! {
    /// What a machine costs, US dollars.
    pub struct RigPrice ("the price of a rig") {
        /// Rent of the whole machine per hour.
        pub rent_per_hour: Option<At<f64>>,
        /// Purchase of the whole machine.
        pub purchase: Option<At<f64>>,
        /// Power per kWh.
        pub power_per_kwh: Option<At<f64>>,
        /// Wall power under load, watts.
        pub wall_power_w: Option<At<f64>>,
    }
}

/// Groups of devices: `"2x rtx-3090"`, a list of such texts, or tables.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct RigDevices(pub Vec<RigDevice>);

/// A processor: `"2x epyc-9654"` or a table.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct RigCpu(pub RigCpuTable);

/// Memory: `"64 GiB"` or a table.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct RigRam(pub RigRamTable);

/// A disk: `"nvme-gen4"`, `"7 GB/s"` or a table.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct RigDisk(pub RigDiskTable);

/// Splits `2x epyc-9654` into a count and a name with their place; a text without count is one.
fn counted(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<(Option<At<Count>>, At<String>)> {
    let text = value.get_ref().as_str()?;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = text[digits..].trim_start();
    let name = rest.strip_prefix(['x', 'X', '×']).map(str::trim_start).filter(|_| digits > 0);
    let span = value.span();
    let Some(name) = name else {
        return Some((None, At { value: text.to_owned(), span }));
    };
    match text[..digits].parse::<u64>() {
        Ok(count) if count > 0 => Some((
            Some(At { value: Count::new(count), span: span.clone() }),
            At { value: name.to_owned(), span },
        )),
        _ => {
            problems.push(span, format!("`{}` is no count of devices", &text[..digits]), "at least 1");
            None
        }
    }
}

impl RigDevice {
    fn decode_any(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        if value.get_ref().as_table().is_some() {
            return Self::decode(value, problems);
        }
        if value.get_ref().as_str().is_none() {
            mismatch(value, &RigDevices::expected(), problems);
            return None;
        }
        let (count, id) = counted(value, problems)?;
        Some(Self {
            id: Some(id),
            count,
            memory: None,
            in_use: None,
            bandwidth: None,
            topology: None,
            host_link: None,
            price_usd: None,
            spec: None,
        })
    }
}

impl Decode for RigDevices {
    fn expected() -> String {
        "an accelerator such as \"2x rtx-3090\", a list of them, or [[accelerator]] tables".to_owned()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        let Some(items) = value.get_ref().as_array() else {
            return RigDevice::decode_any(value, problems).map(|device| Self(vec![device]));
        };
        let decoded: Vec<Option<RigDevice>> =
            items.iter().map(|item| RigDevice::decode_any(item, problems)).collect();
        decoded.into_iter().collect::<Option<Vec<_>>>().map(Self)
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

impl Decode for RigCpu {
    fn expected() -> String {
        "a processor such as \"2x epyc-9654\", or a table".to_owned()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        if value.get_ref().as_table().is_some() {
            return RigCpuTable::decode(value, problems).map(Self);
        }
        if value.get_ref().as_str().is_none() {
            mismatch(value, &Self::expected(), problems);
            return None;
        }
        let (sockets, id) = counted(value, problems)?;
        let none =
            RigCpuTable { id: Some(id), name: None, sockets, cores: None, clock_ghz: None, isa: Vec::new() };
        Some(Self(none))
    }
}

impl Decode for RigRam {
    fn expected() -> String {
        "a size such as \"64 GiB\", or a table with `size`, `channels` and `mt_s`".to_owned()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        if value.get_ref().as_table().is_some() {
            return RigRamTable::decode(value, problems).map(Self);
        }
        let size = At::<Bytes>::decode(value, problems)?;
        Some(Self(RigRamTable {
            size,
            channels: None,
            mt_s: None,
            in_use: None,
            bandwidth: None,
            measured: None,
        }))
    }
}

impl Decode for RigDisk {
    fn expected() -> String {
        "a disk such as \"nvme-gen4\", a rate such as \"7 GB/s\", or a table with `read` and `free`"
            .to_owned()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        if value.get_ref().as_table().is_some() {
            return RigDiskTable::decode(value, problems).map(Self);
        }
        let read = At::<LinkRef>::decode(value, problems)?;
        Some(Self(RigDiskTable { read: Some(read), free: None, measured: None }))
    }
}
