//! Every table of one device and engine, ready to be asked.

use super::OperatorsError;
use super::attention::{self, Heads};
use super::exchange::{self, Collective, Collectives, Exchange, Exchanges, Launch};
use super::experts::{Experts, Routed};
use super::folder::{self, Table};
use super::format::Format;
use super::gemm::Products;
use super::grid::Timing;
use super::module::{self, Modular, Module};
use crate::perf::deployment::Engine;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder of measured tables, some of them read.
#[derive(Clone, Debug)]
pub struct Operators {
    root: PathBuf,
    tables: Vec<Table>,
    /// Read so far, by system and framework.
    read: BTreeMap<(&'static str, &'static str), Arc<DeviceTables>>,
}

impl Operators {
    /// Finds the tables in the folder of the package, its `systems` or its `systems/data`. Reads
    /// none of them yet.
    ///
    /// # Errors
    ///
    /// When the folder holds no tables, or more files than the package could.
    pub fn open(dir: &Path) -> Result<Self, OperatorsError> {
        let (root, tables) = folder::find(dir)?;
        Ok(Self { root, tables, read: BTreeMap::new() })
    }

    /// The folder that holds the systems.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The tables found, by system, framework and operator, newest version first.
    pub fn inventory(&self) -> &[Table] {
        &self.tables
    }

    /// Reads the newest tables of an accelerator, by its slug in the catalogue, with an engine, and
    /// keeps them for [`Operators::tables`]. Nothing where nothing was measured.
    ///
    /// # Errors
    ///
    /// As [`Operators::device`].
    pub fn read(&mut self, accelerator: &str, engine: Engine) -> Result<(), OperatorsError> {
        let key = folder::system(accelerator).zip(folder::framework(engine));
        if let Some(key) = key.filter(|key| !self.read.contains_key(key))
            && let Some(tables) = self.device(accelerator, engine, None)?
        {
            self.read.insert(key, Arc::new(tables));
        }
        Ok(())
    }

    /// Reads the newest tables of every accelerator and engine.
    ///
    /// # Errors
    ///
    /// As [`Operators::device`].
    pub fn read_all(&mut self) -> Result<(), OperatorsError> {
        for system in folder::systems() {
            for engine in Engine::ALL {
                self.read(system, *engine)?;
            }
        }
        Ok(())
    }

    /// The tables read of an accelerator with an engine.
    pub fn tables(&self, accelerator: &str, engine: Engine) -> Option<&Arc<DeviceTables>> {
        self.read.get(&(folder::system(accelerator)?, folder::framework(engine)?))
    }

    /// The tables of an accelerator, by its slug in the catalogue, with an engine in versions not
    /// newer than the one given. `None` where nothing was measured.
    ///
    /// # Errors
    ///
    /// When a table of it is damaged or of another schema; the error names the file.
    pub fn device(
        &self,
        accelerator: &str,
        engine: Engine,
        version: Option<&str>,
    ) -> Result<Option<DeviceTables>, OperatorsError> {
        let (Some(system), Some(framework)) = (folder::system(accelerator), folder::framework(engine)) else {
            return Ok(None);
        };
        let of = |framework: &str, operator: &str, upto: Option<&str>| -> Vec<&Table> {
            let wanted = |table: &&Table| {
                table.system == system
                    && table.framework == framework
                    && table.operator == operator
                    && upto.is_none_or(|upto| folder::newer(&table.version, upto) != Ordering::Greater)
            };
            self.tables.iter().filter(wanted).collect()
        };
        let own = |operator: &str| of(framework, operator, version);
        let modules = |list: [(&str, Module); 6]| -> Vec<(&Table, Module)> {
            let each = list.into_iter();
            each.flat_map(|(name, module)| own(name).into_iter().map(move |table| (table, module))).collect()
        };
        let exchanges: Vec<&Table> = exchange::EXCHANGES.into_iter().flat_map(own).collect();
        // A library has its own versions, which an engine's do not date.
        let library: Vec<&Table> =
            ["nccl", "oneccl"].into_iter().flat_map(|name| of(name, name, None)).collect();
        // Boards of four superchips; the others are boards of eight.
        let node = if system.starts_with("gb") { 4.0 } else { 8.0 };
        let tables = DeviceTables {
            system,
            framework,
            versions: Versions {
                products: versions(&own("gemm")),
                attention: versions(&own("generation_attention")),
                modules: versions(&modules(module::DECODE).iter().map(|pair| pair.0).collect::<Vec<_>>()),
                experts: versions(&own("moe")),
                collectives: versions(&own("custom_allreduce")),
                exchanges: versions(&exchanges),
            },
            products: Products::load(&own("gemm"))?,
            decode: attention::Decode::load(&own("generation_attention"))?,
            prefill: attention::Prefill::load(&own("context_attention"))?,
            module_decode: module::Decode::load(&modules(module::DECODE))?,
            module_prefill: module::Prefill::load(&modules(module::PREFILL))?,
            experts: Routed::load(&own("moe"))?,
            collectives: Collectives::load(&own("custom_allreduce"), &library)?,
            exchanges: Exchanges::load(&exchanges, node)?,
        };
        Ok(Some(tables).filter(|tables| !tables.is_empty()))
    }
}

/// Versions of the framework by operator, newest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Versions {
    pub products: String,
    pub attention: String,
    pub modules: String,
    pub experts: String,
    pub collectives: String,
    pub exchanges: String,
}

/// The versions of some tables, each once: `0.24.0, filled by 0.19.0`.
fn versions(tables: &[&Table]) -> String {
    let mut names: Vec<&str> = tables.iter().map(|table| table.version.as_str()).collect();
    names.sort_by(|a, b| folder::newer(b, a));
    names.dedup();
    match names.as_slice() {
        [] => "library".to_owned(),
        [only] => (*only).to_owned(),
        [newest, older @ ..] => format!("{newest} (filled by {})", older.join(" and ")),
    }
}

/// The tables of one device and engine.
///
/// Every answer is `None` where no table covers the question. Counts are numbers, so that a share
/// of a rank may be a fraction; times are seconds.
#[derive(Clone, Debug)]
pub struct DeviceTables {
    /// The system measured.
    pub system: &'static str,
    /// The framework measured.
    pub framework: &'static str,
    pub(super) versions: Versions,
    pub(super) products: Option<Products>,
    pub(super) decode: Option<attention::Decode>,
    pub(super) prefill: Option<attention::Prefill>,
    pub(super) module_decode: Option<module::Decode>,
    pub(super) module_prefill: Option<module::Prefill>,
    pub(super) experts: Option<Routed>,
    pub(super) collectives: Option<Collectives>,
    pub(super) exchanges: Option<Exchanges>,
}

impl DeviceTables {
    /// Whether there is nothing to ask.
    fn is_empty(&self) -> bool {
        self.products.is_none()
            && self.decode.is_none()
            && self.prefill.is_none()
            && self.module_decode.is_none()
            && self.module_prefill.is_none()
            && self.experts.is_none()
            && self.collectives.is_none()
            && self.exchanges.is_none()
    }

    /// A product of `m` rows with a matrix of `k` inputs and `n` outputs, activations quantised
    /// beforehand where the format wants it.
    pub fn gemm(&self, format: Format, m: f64, n: f64, k: f64) -> Option<Timing> {
        self.products.as_ref()?.time(format, m, n, k)
    }

    /// The least seconds of a product in a format: what a launch takes as it was timed.
    pub fn gemm_launch(&self, format: Format) -> Option<f64> {
        self.products.as_ref()?.launch(format)
    }

    /// Attention of one new token in each of `batch` sequences that see `context` tokens, itself
    /// included.
    pub fn attention_decode(&self, heads: &Heads, batch: f64, context: f64) -> Option<Timing> {
        self.decode.as_ref()?.time(heads, batch, context)
    }

    /// Attention of `new` tokens in each of `batch` sequences after `prefix` cached ones.
    pub fn attention_prefill(&self, heads: &Heads, batch: f64, new: f64, prefix: f64) -> Option<Timing> {
        self.prefill.as_ref()?.time(heads, batch, new, prefix)
    }

    /// A module of one new token in each of `batch` sequences that see `context` tokens, itself
    /// included.
    pub fn module_decode(&self, module: &Modular, batch: f64, context: f64) -> Option<Timing> {
        self.module_decode.as_ref()?.time(module, batch, context)
    }

    /// A module of `new` tokens in each of `batch` sequences after `prefix` cached ones.
    pub fn module_prefill(&self, module: &Modular, batch: f64, new: f64, prefix: f64) -> Option<Timing> {
        self.module_prefill.as_ref()?.time(module, batch, new, prefix)
    }

    /// Routed experts on the busiest rank, for `tokens` of all ranks together.
    pub fn experts(&self, experts: &Experts, tokens: f64) -> Option<Timing> {
        self.experts.as_ref()?.time(experts, tokens)
    }

    /// A collective of 16-bit elements over `ranks` devices with `bytes` in each one's buffer.
    pub fn collective(&self, of: Collective, launch: Launch, ranks: f64, bytes: f64) -> Option<Timing> {
        self.collectives.as_ref()?.time(of, launch, ranks, bytes)
    }

    /// An exchange of tokens between experts with `tokens` on each rank.
    pub fn exchange(&self, exchange: &Exchange, tokens: f64) -> Option<Timing> {
        self.exchanges.as_ref()?.time(exchange, tokens)
    }
}
