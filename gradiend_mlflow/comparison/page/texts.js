// How numbers are written.

const DASH = "–";
const counted = number => number.toLocaleString("en-US", {maximumFractionDigits: 2});
const average = number => number > 0 && number < 0.01 ? number.toPrecision(2) : counted(number);
const things = (number, what) => `${counted(number)} ${what}${number === 1 ? "" : "s"}`;
const percent = share => `${(100 * share).toFixed(share && Math.abs(share) < 0.1 ? 2 : 1)}%`;
const probability = p => p < 0.001 ? p.toExponential(0) : p.toPrecision(2);
const probabilityOf = exponent => exponent === null ? DASH : exponent >= 308 ? "< 1e-308" : probability(10 ** -exponent);  // a p-value by its -log10
