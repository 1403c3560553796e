//! Renders one and the same [`Plan`](crate::plan::Plan) as terminal text, CSV and JSON.

pub mod columns;
pub mod csv;
pub mod explain;
pub mod fit;
pub mod frontier;
pub mod size;
pub mod table;
pub mod terminal;
pub mod verdict;
