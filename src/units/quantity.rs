//! The quantities and the operators that make sense between them.

use serde::{Deserialize, Serialize};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Sub};

/// Defines an `f64` newtype with sums, scaling by plain numbers and the ratio of two.
macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(transparent)]
        pub struct $name(f64);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0.0);

            /// The amount in the base unit of this quantity.
            pub const fn new(amount: f64) -> Self {
                Self(amount)
            }

            /// The amount in the base unit of this quantity.
            pub const fn get(self) -> f64 {
                self.0
            }

            /// The larger of two amounts.
            #[must_use]
            pub fn max(self, other: Self) -> Self {
                Self(self.0.max(other.0))
            }

            /// The smaller of two amounts.
            #[must_use]
            pub fn min(self, other: Self) -> Self {
                Self(self.0.min(other.0))
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }

        impl Mul<f64> for $name {
            type Output = Self;
            fn mul(self, factor: f64) -> Self {
                Self(self.0 * factor)
            }
        }

        impl Div<f64> for $name {
            type Output = Self;
            fn div(self, divisor: f64) -> Self {
                Self(self.0 / divisor)
            }
        }

        impl Div for $name {
            type Output = f64;
            fn div(self, other: Self) -> f64 {
                self.0 / other.0
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                // The empty sum of floats is -0.0, which would print as `-0 B`.
                Self(iter.fold(0.0, |sum, x| sum + x.0))
            }
        }
    };
}

quantity!(
    /// An amount of memory or traffic in bytes.
    Bytes
);
quantity!(
    /// Bytes per second.
    Bandwidth
);
quantity!(
    /// Floating point operations; one multiply-add counts as two.
    Flop
);
quantity!(
    /// Floating point operations per second, dense.
    FlopRate
);
quantity!(
    /// A span of time in seconds.
    Seconds
);
quantity!(
    /// A number of tokens.
    Tokens
);
quantity!(
    /// Tokens per second.
    TokenRate
);
quantity!(
    /// Electrical power in watts.
    Watts
);
quantity!(
    /// US dollars.
    Money
);

impl Bytes {
    /// Gigabytes, 10^9 bytes.
    pub const fn gb(n: f64) -> Self {
        Self(n * 1e9)
    }

    /// Gibibytes, 2^30 bytes.
    pub const fn gib(n: f64) -> Self {
        Self(n * 1_073_741_824.0)
    }

    /// Mebibytes, 2^20 bytes.
    pub const fn mib(n: f64) -> Self {
        Self(n * 1_048_576.0)
    }

    /// The amount in gibibytes.
    pub fn in_gib(self) -> f64 {
        self.0 / 1_073_741_824.0
    }

    /// Whether this amount goes into `room`.
    pub fn fits(self, room: Bytes) -> bool {
        self.0 <= room.0
    }
}

impl Bandwidth {
    /// Gigabytes (10^9 bytes) per second.
    pub const fn gb_s(n: f64) -> Self {
        Self(n * 1e9)
    }

    /// The amount in gigabytes per second.
    pub fn in_gb_s(self) -> f64 {
        self.0 / 1e9
    }
}

impl FlopRate {
    /// 10^12 operations per second.
    pub const fn tflops(n: f64) -> Self {
        Self(n * 1e12)
    }

    /// The amount in 10^12 operations per second.
    pub fn in_tflops(self) -> f64 {
        self.0 / 1e12
    }
}

impl Seconds {
    /// Microseconds.
    pub const fn us(n: f64) -> Self {
        Self(n * 1e-6)
    }

    /// Milliseconds.
    pub const fn ms(n: f64) -> Self {
        Self(n * 1e-3)
    }

    /// The amount in milliseconds.
    pub fn in_ms(self) -> f64 {
        self.0 * 1e3
    }

    /// The amount in microseconds.
    pub fn in_us(self) -> f64 {
        self.0 * 1e6
    }
}

impl Div<Bandwidth> for Bytes {
    type Output = Seconds;
    fn div(self, rate: Bandwidth) -> Seconds {
        Seconds(self.0 / rate.0)
    }
}

impl Div<FlopRate> for Flop {
    type Output = Seconds;
    fn div(self, rate: FlopRate) -> Seconds {
        Seconds(self.0 / rate.0)
    }
}

impl Div<Seconds> for Tokens {
    type Output = TokenRate;
    fn div(self, time: Seconds) -> TokenRate {
        TokenRate(self.0 / time.0)
    }
}

impl Div<TokenRate> for Tokens {
    type Output = Seconds;
    fn div(self, rate: TokenRate) -> Seconds {
        Seconds(self.0 / rate.0)
    }
}
