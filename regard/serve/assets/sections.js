// Names and explanations of the boxes of the model, for a learner: by section of docs/explorer-api.md.
// The words for points, axes and formulas come with the models (insight/names.py).

import { store } from "./state.js";
import { fill } from "./shell.js";

const SECTIONS = {
  embed: [["Embedding", "嵌入"], ["The learned vector of each token, from the embedding table.", "每个词元在嵌入表中对应的、学习得到的向量。"]],
  position: [["Position", "位置"], ["Positional information: without it a sentence would be a bag of words.", "位置信息：没有它，句子只是一个词袋。"]],
  input: [["+", "+"], ["Embedding and position are added: the input of the first layer.", "嵌入与位置相加：第一层的输入。"]],
  attention: [["Self-attention", "自注意力"], ["The query of each token is compared with every key, which gives scores; the softmax turns them into weights that sum to 1; the output is the weighted sum of the values.", "每个词元的查询与所有键比较得到分数，softmax 把分数变成总和为 1 的权重，输出是各个值的加权和。"]],
  cross: [["Cross-attention", "交叉注意力"], ["As self-attention, but keys and values come from the encoder: the output attends to the input.", "与自注意力相同，但键和值来自编码器：输出序列关注输入序列。"]],
  feedforward: [["Feed-forward", "前馈网络"], ["Linear layers with a nonlinearity between them, applied to each position independently.", "线性层与其间的非线性激活，独立地作用于每个位置。"]],
  attention_residual: [["Add & Norm", "相加与归一化"], ["The residual connection adds the input back, so that a layer only learns what to change; the norm keeps the scale of the numbers.", "残差连接把输入加回来，该层只需学习要改变什么；归一化使数值的尺度保持稳定。"]],
  block: [["Layer output", "层输出"], ["The input of the next layer.", "下一层的输入。"]],
  output: [["Norm", "归一化"], ["The output of the stack, after its final norm where it has one.", "模型主体的输出（若有最终归一化，则在其后）。"]],
  head: [["Prediction", "预测"], ["A linear layer gives a logit for each possible output; the softmax turns them into probabilities.", "线性层为每个可能的输出给出一个 logit，softmax 把它们变成概率。"]],
};
SECTIONS.cross_residual = SECTIONS.feedforward_residual = SECTIONS.attention_residual;

export const sectionName = (section) => fill(SECTIONS[section]?.[0] ?? [section, section]);
export const sectionText = (section) => fill(SECTIONS[section]?.[1] ?? ["", ""]);
export const axisName = (axis) => fill(store.words.axes[axis] ?? [axis, axis]);
export const formula = (text) => fill(store.words.formulas[text] ?? [text, text]);

// `others`: the points that stand in the same section.
export function pointName(part, others = []) {
  const { section, point } = part;
  const { points } = store.words;
  const rotated = others.includes(`${point}_pre_rotary`) ? points[`${point}_rotated`] : null;
  return fill(rotated ?? points[`${section}.${point}`] ?? points[point] ?? [point, point]);
}

// Of Add & Norm, what this model does of it at this place.
export function boxName(section, points) {
  if (!section.endsWith("_residual")) return sectionName(section);
  const adds = points.includes("sum"), norms = points.includes("normed") || points.includes("normed_out");
  if (adds && norms) return sectionName(section);
  return adds ? fill(["Add", "相加"]) : fill(["Norm", "归一化"]);
}
