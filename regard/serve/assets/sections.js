// What the boxes of the model are called and what they do, for a learner: by section of docs/explorer-api.md.
// The words for points, axes and formulas come with the models (insight/names.py).

import { store } from "./state.js";
import { fill } from "./shell.js";

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
