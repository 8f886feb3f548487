// What the boxes of the model are called and what they do, for a learner: by section and point of
// docs/explorer-api.md.

import { fill } from "./texts.js";

const SECTIONS = {
  embed: [["Embedding", "嵌入"], ["Each token is looked up in a learned table: a row of numbers for each.", "每个词元在学到的表中查出一行数：它的向量。"]],
  position: [["Position", "位置"], ["What tells the model the order: without it a sentence would be a bag of words.", "告诉模型顺序：没有它，句子只是一袋词。"]],
  input: [["+", "+"], ["Embedding and position are added: what enters the first layer.", "嵌入与位置相加：进入第一层的向量。"]],
  attention: [["Self-attention", "自注意力"], ["Every token asks (query), is asked (key) and hands over (value). A query times all keys gives scores; the softmax makes them shares of one; the values are mixed by these shares.", "每个词元都提问（查询）、被问（键）、并交出内容（值）。查询与所有键相乘得到分数，softmax 把分数变成总和为一的权重，再按权重混合各个值。"]],
  cross: [["Cross-attention", "交叉注意力"], ["The same as self-attention, but keys and values come from the encoder: what is being written looks at what was read.", "与自注意力相同，但键和值来自编码器：正在写的内容看读到的内容。"]],
  feedforward: [["Feed-forward", "前馈网络"], ["Two matrix products with a bend between them, the same for every token by itself.", "两次矩阵乘法，中间一次非线性；每个词元各自独立地经过。"]],
  attention_residual: [["Add & Norm", "相加与归一化"], ["What came in is added again, so that a layer only has to learn what to change; the norm keeps the size of the numbers.", "把输入再加回来，让该层只需学习要改变什么；归一化使数值大小保持稳定。"]],
  block: [["Layer output", "层输出"], ["What goes on to the next layer.", "传给下一层的向量。"]],
  output: [["Norm", "归一化"], ["What the stack gives, after its last norm where it has one.", "模型主体的输出（若有最后一次归一化，则在其后）。"]],
  head: [["Prediction", "预测"], ["Each vector is compared with every output: logits; the softmax makes probabilities of them.", "每个向量与所有可能的输出比较，得到 logit；softmax 把它们变成概率。"]],
};
SECTIONS.cross_residual = SECTIONS.feedforward_residual = SECTIONS.attention_residual;

const POINTS = {
  q_unturned: ["Q", "Q"], k_unturned: ["K", "K"], q: ["Q, queries", "Q 查询"], k: ["K, keys", "K 键"], v: ["V, values", "V 值"],
  products: ["q · kᵀ", "q · kᵀ"], scores: ["scaled", "缩放后"], mask: ["mask", "掩码"], masked: ["masked", "加掩码后"], weights: ["softmax", "softmax"], heads: ["softmax · V", "softmax · V"],
  out: ["out", "输出"], up: ["x · W_up", "x · W_up"], gate: ["gate", "门"], hidden: ["activated", "激活后"], normed: ["norm", "归一化"],
  normed_out: ["norm of the part", "该部分归一化"], scaled: ["gain · part", "增益 · 该部分"], sum: ["x + part", "x + 该部分"], residual: ["to the next layer", "传给下一层"],
  given: ["given", "输入"], added: ["added", "加上的"], bias: ["bias", "偏置"], memory_bias: ["bias", "偏置"], placed: ["embedding + position", "嵌入 + 位置"],
  input: ["into layer 0", "进入第 0 层"], output: ["output", "输出"], gathered: ["pooled", "汇聚"], transform: ["transformed", "变换后"], pooled: ["pooled", "汇聚"],
  vector: ["vector", "向量"], logits: ["logits", "logit"], probabilities: ["softmax", "softmax"],
};
const TURNED = { q: ["Q, turned", "Q（旋转后）"], k: ["K, turned", "K（旋转后）"] };
const OUT = { attention: ["· W_O", "· W_O"], cross: ["· W_O", "· W_O"], feedforward: ["· W_down", "· W_down"], embed: ["vectors", "向量"] };

const AXES = {
  query: ["token", "词元"], key: ["looks at", "看向"], memory: ["looks at", "看向"], head: ["head", "头"], group: ["group", "组"],
  channel: ["number in the head", "头内维度"], width: ["number in the vector", "向量维度"], hidden: ["hidden number", "隐藏维度"],
  output: ["output", "输出"], colour: ["colour", "颜色"], row: ["row", "行"], column: ["column", "列"],
};

// Formulas that are words.
const FORMULAS = {
  "what is given": "输入", "a vector for each position": "每个位置一个向量", "embedding + position": "嵌入 + 位置", "a number for each distance": "每个距离一个数",
  "what goes on to the next block": "传给下一层", "who may see whom": "谁能看谁", "softmax(scores) where the mask allows": "softmax(分数)，只在掩码允许处",
  "turned by their positions": "按位置旋转", "what stands for the whole": "代表整个输入的向量", "norm(x + part)": "归一化(x + 该部分)", "x + part": "x + 该部分",
  "norm(x)": "归一化(x)", "norm(part)": "归一化(该部分)", "norm(residual)": "归一化(残差)", residual: "残差", "weights v": "权重 · v", "[heads] W_O + b": "[各头拼接] W_O + b",
  "[heads] W_O": "[各头拼接] W_O", "hidden W_down + b": "隐藏值 W_down + b", "gain · part": "增益 · 该部分", placed: "嵌入 + 位置", "norm(placed)": "归一化(嵌入 + 位置)",
};

export const sectionName = (section) => fill(SECTIONS[section]?.[0] ?? [section, section]);
export const sectionText = (section) => fill(SECTIONS[section]?.[1] ?? ["", ""]);
export const axisName = (axis) => fill(AXES[axis] ?? [axis, axis]);
export const formula = (text) => fill([text, FORMULAS[text] ?? text]);

// `others`: the points that stand in the same section.
export function pointName(part, others = []) {
  const { section, point } = part;
  if (point === "out" && OUT[section]) return fill(OUT[section]);
  if (TURNED[point] && others.includes(`${point}_unturned`)) return fill(TURNED[point]);
  return fill(POINTS[point] ?? [point, point]);
}

// Of Add & Norm, what this model does of it at this place.
export function boxName(section, points) {
  if (!section.endsWith("_residual")) return sectionName(section);
  const adds = points.includes("sum"), norms = points.includes("normed") || points.includes("normed_out");
  if (adds && norms) return sectionName(section);
  return adds ? fill(["Add", "相加"]) : fill(["Norm", "归一化"]);
}
