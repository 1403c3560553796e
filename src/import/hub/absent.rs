//! What stands for the requests in a build that cannot go online.

use crate::catalogue::hub::Hub;
use crate::catalogue::model::ModelSpec;
use crate::import::source::ModelError;

impl Hub {
    /// Refuses: this build cannot go online.
    ///
    /// # Errors
    /// Always.
    pub fn fetch(&self, name: &str) -> Result<ModelSpec, ModelError> {
        let reason = "this build of plan cannot go online: build it with the cargo feature `net`, or \
                      download the `config.json`";
        Err(ModelError::Unread { path: format!("{}/{name}", self.base), reason: reason.to_owned() })
    }
}
