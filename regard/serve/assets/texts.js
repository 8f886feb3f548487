// Every word of the page in English and Chinese, but for the boxes of the model (sections.js).

import { fill, lang } from "./shell.js";

export const TEXTS = {
  explore: ["Explore", "探索"], courseTab: ["Course", "课程"], model: ["Model", "模型"],
  parameters: ["{0} parameters", "{0} 个参数"],
  link: ["Copy link", "复制链接"], copied: ["The link to this state is copied.", "已复制此状态的链接。"],
  inAddress: ["The address bar holds the link to this state.", "地址栏里就是此状态的链接。"],
  linkShort: ["The image is too large for a link: the link has everything else.", "图片太大，放不进链接：链接包含其余内容。"],
  save: ["Save", "保存"], saveReport: ["Report, one HTML page", "报告（单个 HTML 页面）"], saveJson: ["Every number, JSON", "全部数值（JSON）"],
  saveFigure: ["This figure, PNG", "当前图（PNG）"], savePlot: ["This figure, PNG", "当前图（PNG）"], saveDrawing: ["This figure, SVG", "当前图（SVG）"], saveModel: ["The model's figure, SVG", "模型结构图（SVG）"],
  other: ["中文", "English"], theme: ["Light or dark", "浅色或深色"], skip: ["Skip to the model", "跳到模型"],
  busy: ["computing …", "计算中……"], gone: ["The server does not answer. Is `regard look` still running? The page goes on when it is back.", "服务器没有响应。`regard look` 还在运行吗？恢复后本页会自动继续。"],
  notFinite: ["What the model computed is NaN or infinite, so that there is no answer. Undo a change of the weights, or load the model with --dtype float32.", "模型算出了 NaN 或无穷大，因此没有答案。请撤销对权重的更改，或用 --dtype float32 加载模型。"],
  loading: ["Loading …", "加载中……"],

  input: ["Input", "输入"], examples: ["Examples", "示例"], first: ["First text", "第一段"], second: ["Second text", "第二段"],
  question: ["Question", "问题"], context: ["Text that holds the answer", "包含答案的文本"], hide: ["Insert {0}", "插入 {0}"],
  draw: ["Draw here, or drop an image", "在此绘制，或拖入图片"], clear: ["Clear", "清除"], upload: ["Open an image …", "打开图片……"],
  keys: ["With the keyboard: arrow keys move the pen, the space bar sets it down or lifts it.", "键盘：方向键移动画笔，空格键落笔或抬笔。"],
  sees: ["what the model sees", "模型看到的"], notImage: ["‘{0}’ is no image that this browser can read.", "“{0}”不是浏览器能读的图片。"],
  role: ["Who speaks", "说话者"], user: ["user", "用户"], assistant: ["assistant", "助手"], system: ["system", "系统"], turn: ["Turn {0}", "第 {0} 轮"],
  emptyTurn: ["A turn is empty: write something in each.", "有一轮是空的：请在每一轮中写点内容。"],
  addTurn: ["Add a turn", "添加一轮"], removeTurn: ["Remove the last", "删除最后一轮"],

  answer: ["Answer", "输出"], unchanged: ["Original", "原来"], changedTo: ["With your changes", "更改之后"], score: ["score", "得分"],
  same: ["Your changes make no difference to the answer.", "您的更改没有改变输出。"], nothing: ["(nothing)", "（空）"],
  likely: ["Top predictions", "概率最高的预测"],
  from: ["Start", "起点"], until: ["End", "终点"], goOn: ["Force ‘{0}’ here and continue", "在这里强制写入“{0}”，并由此继续"],
  forced: ["The output begins with what you chose: {0}", "输出以您选择的内容开头：{0}"], free: ["Generate freely again", "恢复自由生成"],
  vector: ["The answer is a vector: see its numbers in the last box.", "输出是一个向量：数值见最后一个方框。"],
  wasChosen: ["chosen", "已选"], before: ["before: {0}", "原来：{0}"],

  changes: ["Changes", "更改"], reset: ["Undo all", "全部撤销"], temperature: ["Temperature", "温度"], shuffle: ["Shuffle the positions", "打乱位置"],
  again: ["Shuffle again", "再打乱一次"], told: ["position ids of the tokens: {0}", "各词元的位置编号：{0}"], heads: ["Heads", "头"],
  headsHelp: ["Press a head to turn it off.", "点击一个头即可关闭。"], off: ["off", "已关闭"], weights: ["Edit a weight", "修改权重"], weight: ["Weight", "权重"],
  place: ["Index", "索引"], value: ["Value", "数值"], set: ["Set", "设置"], remove: ["Undo {0}", "撤销 {0}"],
  self: ["self-attention", "自注意力"], cross: ["cross-attention", "交叉注意力"], layerHead: ["{0}, layer {1}, {2}, head {3}", "{0}，第 {1} 层，{2}，头 {3}"],
  badPlace: ["The index must be {0} integers, from 0 and below {1}.", "索引应为 {0} 个整数，从 0 开始且小于 {1}。"],
  search: ["Search", "搜索"], beams: ["Beams", "束宽"], length: ["Maximum number of new tokens", "最多生成的词元数"],

  inside: ["Inside", "内部"], writing: ["Step by step", "逐步生成"], beam: ["Beam", "束搜索"], figure: ["The model, from left to right", "模型，从左到右"],
  encoder: ["Encoder", "编码器"], decoder: ["Decoder", "解码器"], stack: ["Model", "模型主体"], layer: ["Layer {0}", "第 {0} 层"],
  openLayer: ["Open layer {0}", "打开第 {0} 层"], windows: ["Text", "文本"], head: ["Head", "头"], all: ["all", "全部"], side: ["Numbers", "数值"],
  original: ["original", "原来"], changed: ["changed", "更改后"], difference: ["difference", "差"],
  lookAt: ["Point at a token, or reach it with Tab and the arrow keys, to see what it attends to.", "指向一个词元，或用 Tab 和方向键移到它，看它关注什么。"],
  looks: ["‘{0}’ attends to {1}", "“{0}”关注 {1}"], asKeys: ["keys", "键"], asQueries: ["queries", "查询"],
  turnOff: ["turn off head {0}", "关闭头 {0}"], turnOn: ["turn on head {0}", "打开头 {0}"], table: ["As a table", "表格形式"], tableCut: ["the first {0} rows and {1} columns", "前 {0} 行、{1} 列"],
  map: ["{0}: {1} rows, {2} columns. Arrow keys move; Enter keeps the sum.", "{0}：{1} 行，{2} 列。方向键移动，回车键固定算式。"],
  tooMany: ["There are too many numbers here to show at once; the top predictions are above.", "这里的数值太多，无法一次显示；概率最高的预测见上方。"],
  forbidden: ["masked", "被掩蔽"],

  sum: ["Where a number comes from", "一个数从何而来"], sumHelp: ["Point at a number, or reach it with the arrow keys: its sum is shown here.", "指向一个数，或用方向键移到它：算式会显示在这里。"],
  back: ["Back", "返回"], release: ["Follow the pointer again", "重新跟随指针"], term: ["term", "项"], product: ["product", "乘积"],
  totals: ["sum of {0} terms", "{0} 项之和"], largest: ["largest first", "按大小排序"], given: ["This number was given, not computed.", "这个数是给定的，不是算出来的。"],
  editWeight: ["Change this weight", "修改此权重"], openTerm: ["Where {0} comes from", "{0} 从何而来"], result: ["result", "结果"],

  written: ["Generated so far", "已生成的"], next: ["Candidates for the next token", "下一个词元的候选"], take: ["Next token", "下一个词元"], undo: ["Back one", "退一步"],
  start: ["From the start", "从头开始"], end: ["To the end", "写到结尾"], done: ["The output has ended.", "输出已结束。"], rank: ["rank {0}", "第 {0} 名"],
  another: ["Another token", "其他词元"], force: ["Force it", "强制写入"], unknown: ["‘{0}’ is no token of this model.", "“{0}”不是此模型的词元。"], emptyYet: ["nothing yet", "还没有"],
  probability: ["probability", "概率"],

  tree: ["The search as a tree", "搜索树"], treeHelp: ["Each box is a token that the beam kept, with the log-probability of the sequence so far; the path to the answer is marked. Press one to continue from there.", "每个方框是束搜索保留的一个词元，下面是到此为止的对数概率；通向答案的路径已标出。点击一个即可由此继续。"],
  wider: ["With a beam of 1 there is no tree: choose 2 or more.", "束宽为 1 时没有树：请选 2 或更大。"], hypotheses: ["Final hypotheses, best first", "最终的候选序列，从好到差"], total: ["log-probability {0}", "对数概率 {0}"],
  ended: ["ended", "结束"], step: ["step {0}", "第 {0} 步"], treeOf: ["Tree of", "树的来源"],

  analyses: ["Analyses", "分析"], method: ["Method", "方法"], ofToken: ["About the generated token", "针对生成的词元"],
  otherInput: ["Second input, with the same number of tokens", "第二个输入，词元数要相同"], otherHelp: ["Give a second input that is a little different: as many tokens, another answer.", "请给出一个略有不同的第二个输入：词元数相同，答案不同。"],

  course: ["Course", "课程"], courseHelp: ["Worked examples, each computed now by the library itself, in an order that a newcomer can follow. Change something and see.", "一组算例，按初学者能跟上的顺序排列，均由库本身当场计算。改一改，看看会怎样。"],
  working: ["computing … {0} %", "计算中…… {0} %"],
  wholeFrom: ["an integer from {0} to {1}", "请输入 {0} 到 {1} 的整数"], realFrom: ["a number from {0} to {1}", "请输入 {0} 到 {1} 的数"],
  textUpTo: ["some text, at most {0} characters", "请输入文字，最多 {0} 个字符"],
  try: ["Change something", "改一改"], asWas: ["As it was", "恢复原样"], proof: ["Proof", "验证"], claim: ["what is compared", "比较的内容"],
  differs: ["largest difference", "最大误差"], allowed: ["allowed", "允许值"], holds: ["holds", "成立"], broken: ["BROKEN", "不成立"], previous: ["Previous", "上一个"], following: ["Next", "下一个"],
  contents: ["All examples", "全部算例"], pointSum: ["Point at a number, or move with the arrow keys: it is shown in full, with the sum that it came from where it is one.", "指向一个数，或用方向键移动：会显示完整的数值；如果它是一个和，还会显示算式。"],
};

// say("layer", 3): the words in the language that is chosen.
export function say(key, ...given) {
  if (!TEXTS[key]) throw new Error(`there is no text '${key}'`);
  return fill(TEXTS[key], given);
}

// A text that came with both languages.
export const of = (words) => (typeof words === "string" ? words : words?.[lang()] ?? "");
