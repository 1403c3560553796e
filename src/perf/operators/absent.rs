//! What stands for operator tables in a build that cannot read them.
//!
//! Same names as the module behind the cargo feature `operators`; there are no values of them, so
//! that callers need not know which build they are in.

#![allow(clippy::trivially_copy_pass_by_ref, reason = "the tables themselves are passed by reference")]

use crate::catalogue::machine::DeviceGroup;
use crate::perf::constants::Basis;
use crate::perf::deployment::{Deployment, Engine};
use crate::perf::mixer::Mixer;
use crate::perf::ops::{ExpertLoad, Product};
use crate::perf::stage::{Attended, Forward};
use std::path::Path;

/// Why tables could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperatorsError {
    /// The build lacks the reader.
    #[error("this build of plan cannot read operator tables: build it with the cargo feature `operators`")]
    NotBuilt,
}

/// A folder of measured tables: there is none.
#[derive(Clone, Copy, Debug)]
pub enum Operators {}

impl Operators {
    /// Refuses.
    ///
    /// # Errors
    ///
    /// Always.
    pub const fn open(_: &Path) -> Result<Self, OperatorsError> {
        Err(OperatorsError::NotBuilt)
    }

    /// Reads tables.
    ///
    /// # Errors
    ///
    /// None: there is nothing to read.
    pub const fn read(&mut self, _: &str, _: Engine) -> Result<(), OperatorsError> {
        match *self {}
    }

    /// Reads all tables.
    ///
    /// # Errors
    ///
    /// None: there is nothing to read.
    pub const fn read_all(&mut self) -> Result<(), OperatorsError> {
        match *self {}
    }
}

/// The tables of a stage: there are none.
#[derive(Clone, Copy, Debug)]
pub(in crate::perf) enum StageTables {}

impl StageTables {
    /// The tables of a stage.
    pub(in crate::perf) const fn of(
        operators: &Operators,
        _: &Deployment<'_>,
        _: &DeviceGroup,
    ) -> Option<Self> {
        match *operators {}
    }

    /// What they are of.
    pub(in crate::perf) const fn name(&self) -> &str {
        match *self {}
    }

    /// What a part they answer rests on.
    pub(in crate::perf) const fn basis(&self, _: &str) -> &Basis {
        match *self {}
    }

    /// A product.
    pub(in crate::perf) const fn product(&self, _: &Product, _: f64, _: f64) -> Option<f64> {
        match *self {}
    }

    /// Attention.
    pub(in crate::perf) const fn attention(&self, _: &[Mixer<'_>], _: u64, _: Forward) -> Attended {
        match *self {}
    }

    /// Routed experts.
    pub(in crate::perf) const fn experts(&self, _: &ExpertLoad, _: f64) -> Option<f64> {
        match *self {}
    }

    /// An all-reduce.
    pub(in crate::perf) const fn all_reduce(&self, _: f64) -> Option<f64> {
        match *self {}
    }

    /// An exchange between experts.
    pub(in crate::perf) const fn exchange(&self, _: &ExpertLoad, _: f64, _: bool) -> Option<f64> {
        match *self {}
    }
}
