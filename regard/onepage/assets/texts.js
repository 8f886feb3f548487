// Every word of the page in English and Chinese.

import { fill } from "./shell.js";

export const TEXTS = {
  other: ["中文", "English"], theme: ["light / dark", "浅色 / 深色"],
  lead: ["A trained Transformer that runs in this page: {0} parameters, nothing installed, nothing sent anywhere.", "一个训练好的 Transformer，就在这个页面里运行：{0} 个参数，无需安装，也不向任何地方发送数据。"],
  half: ["Its weights are rounded to half precision (16 bits), so that the page is small.", "为使页面更小，权重已舍入为半精度（16 位）。"],
  trained: ["Trained on: {0}", "训练数据：{0}"],
  translation: ["Type text, and the model generates its output", "输入文字，模型生成输出"], "text-generation": ["Type a prompt, and the model continues it", "输入提示，模型接着生成"],
  "text-classification": ["Type text, and the model classifies it", "输入文字，模型给出类别"], "image-classification": ["Draw, and the model classifies it", "画一画，模型给出类别"],
  input: ["Input", "输入"], examples: ["Examples", "示例"], placeholder: ["Type something", "在此输入"],
  draw: ["Draw here", "在此绘制"], clear: ["Clear", "清除"], sees: ["what the model sees", "模型看到的"],
  keys: ["With the keyboard: arrow keys move the pen, the space bar sets it down or lifts it.", "键盘：方向键移动画笔，空格键落笔或抬笔。"],
  answer: ["Answer", "输出"], nothing: ["(nothing)", "（空）"], took: ["{0} ms on this device", "在本设备上用时 {0} 毫秒"],
  tooLong: ["This is {0} tokens long; the model was made for at most {1}.", "输入有 {0} 个词元；此模型最多接受 {1} 个。"],
  temperature: ["Temperature", "温度"], draws: ["Sample tokens", "按概率采样词元"], again: ["Sample again", "重新采样"], length: ["Number of new tokens", "生成的词元数"],
  likely: ["Top predictions", "概率最高的预测"],
  likelySteps: ["A column for each generated token, most likely first. Press another one: it is taken instead, and generation continues from there.", "每生成一个词元一列，按概率从高到低排列。点击别的词元，就改为它，并由此继续生成。"],
  goOn: ["take ‘{0}’ and continue", "改为“{0}”并继续"], chosen: ["chosen", "已选"], free: ["Generate freely again", "恢复自由生成"], after: ["after {0}", "在 {0} 之后"], end: ["(end)", "（结束）"],
  attention: ["What it attends to", "注意力在哪里"],
  attentionHelp: ["Each row is a query, each column a key; a row sums to 1. Point at a cell for its value.", "每一行是一个查询，每一列是一个键；每行之和为 1。指向格子可看到数值。"],
  encoder: ["Self-attention of the input", "输入的自注意力"], stack: ["Self-attention of the text", "文本的自注意力"], patches: ["Self-attention of the patches", "图块的自注意力"],
  decoder: ["Self-attention of the output", "输出的自注意力"], cross: ["Cross-attention: output to input", "交叉注意力：输出到输入"],
  sequence: ["Which attention", "哪一种注意力"], layer: ["Layer", "层"], head: ["Head {0}", "头 {0}"],
  tokensHelp: ["Point at a token, or press it, to see what it attends to: the mean of this layer's heads.", "指向或点击一个词元，看它关注什么（取本层各头的平均）。"],
  looking: ["queries", "查询"], looked: ["keys", "键"],
  cell: ["head {0}: ‘{1}’ attends to ‘{2}’ with weight {3}", "头 {0}：“{1}”对“{2}”的注意力权重是 {3}"],
  image: ["What the chosen patch attends to, on the image", "所选图块关注什么，画在图片上"],
  inside: ["What runs here", "这里运行的是什么"],
  insideHelp: ["The arithmetic is the file model.js, which is in this page: the whole Transformer, written to be read.", "运算都在 model.js 里，它就在本页中：整个 Transformer，写得能读懂。"],
  source: ["{0}: {1} lines", "{0}：{1} 行"], parts: ["Parts of the model", "模型的组成"],
  part: ["part", "部分"], layers: ["layers", "层数"], width: ["width D", "宽度 D"], heads: ["heads H", "头 H"], hidden: ["hidden F", "隐藏层 F"], position: ["position", "位置"], vocabulary: ["outputs V", "输出数 V"],
  encoderPart: ["encoder", "编码器"], decoderPart: ["decoder", "解码器"], stackPart: ["stack", "主体"],
};

// say("layer", 3): the words in the language that is chosen.
export const say = (key, ...given) => fill(TEXTS[key], given);
