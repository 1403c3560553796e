//! Linear equations with a symmetric positive definite matrix.

/// A symmetric matrix, its lower half used.
#[derive(Clone, Debug)]
pub(super) struct Symmetric {
    size: usize,
    cells: Vec<f64>,
}

impl Symmetric {
    /// A matrix of zeros.
    pub(super) fn new(size: usize) -> Self {
        Self { size, cells: vec![0.0; size * size] }
    }

    /// Adds to a cell of the lower half.
    pub(super) fn add(&mut self, row: usize, column: usize, amount: f64) {
        let (row, column) = (row.max(column), row.min(column));
        self.cells[row * self.size + column] += amount;
    }

    /// Solves for a right-hand side by Cholesky's decomposition; `None` if not positive definite.
    pub(super) fn solve(mut self, right: &[f64]) -> Option<Vec<f64>> {
        self.decompose()?;
        let n = self.size;
        let mut x = right.to_vec();
        for i in 0..n {
            for j in 0..i {
                x[i] -= self.cells[i * n + j] * x[j];
            }
            x[i] /= self.cells[i * n + i];
        }
        for i in (0..n).rev() {
            for j in i + 1..n {
                x[i] -= self.cells[j * n + i] * x[j];
            }
            x[i] /= self.cells[i * n + i];
        }
        Some(x)
    }

    fn decompose(&mut self) -> Option<()> {
        let n = self.size;
        for i in 0..n {
            for j in 0..=i {
                let (left, right) = (&self.cells[i * n..i * n + j], &self.cells[j * n..j * n + j]);
                let sum: f64 = left.iter().zip(right).map(|(a, b)| a * b).sum();
                let rest = self.cells[i * n + j] - sum;
                self.cells[i * n + j] = if i == j {
                    if rest <= 0.0 {
                        return None;
                    }
                    rest.sqrt()
                } else {
                    rest / self.cells[j * n + j]
                };
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4x + 2y = 10, 2x + 3y = 9 has the solution x = 1.5, y = 2.
    #[test]
    fn two_equations_by_hand() {
        let mut matrix = Symmetric::new(2);
        matrix.add(0, 0, 4.0);
        matrix.add(0, 1, 2.0);
        matrix.add(1, 1, 3.0);
        let x = matrix.solve(&[10.0, 9.0]).unwrap();
        assert!((x[0] - 1.5).abs() < 1e-12 && (x[1] - 2.0).abs() < 1e-12, "{x:?}");
    }

    #[test]
    fn indefinite_matrices_have_no_solution() {
        let mut matrix = Symmetric::new(1);
        matrix.add(0, 0, -1.0);
        assert!(matrix.solve(&[1.0]).is_none());
    }
}
