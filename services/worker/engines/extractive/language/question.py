"""What kind of answer a question asks for, and whether a sentence holds something of that kind."""

from __future__ import annotations

import enum
import re


class Asked(enum.Enum):
    """The kind of answer a question asks for."""

    NUMBER = "number"
    DATE = "date"
    PERSON = "person"
    PLACE = "place"
    REASON = "reason"
    NAME = "name"
    LIST = "list"
    DEFINITION = "definition"
    YES_NO = "yes_no"
    MANNER = "manner"
    OTHER = "other"

    @property
    def is_short(self) -> bool:
        """Whether one sentence usually answers it."""
        return self in {Asked.NUMBER, Asked.DATE, Asked.PERSON, Asked.PLACE, Asked.NAME}


def _rule(asked: Asked, pattern: str) -> tuple[Asked, re.Pattern[str]]:
    return asked, re.compile(pattern, re.IGNORECASE)


_ASKING = (
    _rule(
        Asked.REASON,
        r"为什么|为何|原因|因何|缘何|怎么会|"
        r"^why\b|\bwhy (?:is|are|was|were|do|does|did|has|had|can)\b|\breason",
    ),
    _rule(
        Asked.DATE,
        r"何时|什么时候|什么时间|哪一?[年天日月]|哪[个一]?(?:年代|世纪|时期|月份)|几[年月日号点]|日期|"
        r"^when\b|\bwhen (?:was|were|is|are|did|do|does|will|has|had)\b|"
        r"\b(?:what|which) (?:year|month|day|date|decade|century|time)\b|\bwhat is the date\b",
    ),
    _rule(
        Asked.NUMBER,
        r"多少|第?几[^何乎]|多[大高长远重快深久宽厚]|百分之几|比例|占比|"
        r"\bhow (?:many|much|long|old|far|often|tall|high|large|big|deep|fast|wide)\b|"
        r"\bwhat (?:percent|percentage|number|amount|population|proportion|portion|fraction)\b",
    ),
    _rule(
        Asked.PERSON,
        r"谁|哪[一]?位|何人|哪个人|\bwho\b|\bwhom\b|\bwhose\b|"
        r"\b(?:what|which) (?:person|man|woman|king|actor|singer)\b",
    ),
    _rule(
        Asked.PLACE,
        r"哪里|哪儿|何处|何地|什么地方|位于哪|哪[个一]?个?(?:国家?|城市|省|市|地区?|州|县|区|洲|镇|村|街)|在哪|"
        r"\bwhere\b|\b(?:what|which) (?:country|city|state|town|county|region|place|continent|location|street)\b",
    ),
    _rule(
        Asked.LIST,
        r"哪些|哪几|有什么|分别|包括什么|"
        r"\bwhat are\b|\bwhich (?:two|three|four|five)\b|\bwhat (?:two|three|four|five)\b",
    ),
    _rule(Asked.NAME, r"叫什么|叫做什么|什么名|名字|名称|称为什么|称作什么|别名|绰号|\bcalled\b|\bnamed?\b|\bnickname"),
    _rule(
        Asked.DEFINITION,
        r"什么是|是指什么|是什么意思|指的是什么|何谓|"
        r"^what (?:is|are|was) (?:an? )?[\w-]+(?: [\w-]+)?\?*$|\bdefin|\bmean\b",
    ),
    _rule(Asked.MANNER, r"如何|怎么|怎样|\bhow\b"),
    _rule(
        Asked.YES_NO,
        r"吗|是否|能否|可否|是不是|有没有|能不能|可不可以|"
        r"^(?:is|are|was|were|do|does|did|can|could|has|have|had|will|should|may)\b",
    ),
)

_MONTHS = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_NUMERAL = (
    r"\d|[零一二两三四五六七八九十百千万亿半][多余]?[个名位次人种座所家岁届年月天日号倍元米里公平分吨]|"
    r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred|thousand|"
    r"million|billion|half|third|quarter|percent|once|twice|dozen|several|annually|daily|weekly|first|second)\b"
)
_SURNAME = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾萧田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯"
    "龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤"
)
_HELD = {
    Asked.DATE: re.compile(
        rf"\d{{1,4}}\s*年|\d{{1,2}}\s*[月日号]|世纪|年代|公元|[同去今翌次隔]年|\b1\d{{3}}s?\b|\b20\d{{2}}s?\b|{_MONTHS}|"
        r"\b(?:century|decade|BC|AD|yesterday|annually|years? ago)\b|"
        r"[一二三四五六七八九十〇零]{2,4}年|[一二三四五六七八九十]月|时期"
    ),
    Asked.NUMBER: re.compile(_NUMERAL, re.IGNORECASE),
    Asked.PERSON: re.compile(
        rf"[\u4e00-\u9fff]·[\u4e00-\u9fff]|[{_SURNAME}][\u4e00-\u9fff]{{1,2}}|先生|女士|教授|总统|皇帝|"
        r"(?<=[\w,;:] )[A-Z][a-z]+(?: [A-Z][\w.]+)*|^[A-Z][a-z]+ [A-Z][a-z]+"
    ),
    Asked.PLACE: re.compile(
        r"位于|坐落|地处|[省市县州镇村路街岛国](?=[\u4e00-\u9fff，。、（）的]|$)|"
        r"\b(?:in|at|near|from|to|of|on|through) (?:the )?(?:\w+ )?[A-Z][a-z]+"
    ),
    Asked.REASON: re.compile(
        r"因为|由于|因此|所以|因而|故此|为了|以便|导致|使得|原因|从而|为避免|鉴于|"
        r"\b(?:because|due to|since|in order|so that|as a result|reason|therefore|caused?|owing|thus|to \w+)\b",
        re.IGNORECASE,
    ),
    Asked.NAME: re.compile(
        r"[《「“\"]|叫做?|称为|名为|又名|又称|别称|别名|简称|俗称|称作|绰号|(?<=[\w,;:] )[A-Z][a-z]+|"
        r"\b(?:called|named|known as|nicknamed|dubbed|titled)\b"
    ),
    Asked.LIST: re.compile(r"、|以及|包括|包含|分别|分为|如：|\band\b|, \w+", re.IGNORECASE),
    Asked.DEFINITION: re.compile(
        r"是指|指的是|是一[种个项类]|即|所谓|定义|称为|\b(?:is|are|was) (?:an?|the)\b|\brefers? to\b|"
        r"\bmeans?\b|\bknown as\b|\bdefined\b",
        re.IGNORECASE,
    ),
    Asked.MANNER: re.compile(
        r"通过|利用|采用|使用|方法|步骤|首先|按照|根据|以.{1,12}方式|\b(?:by|through|using|via|with)\b", re.IGNORECASE
    ),
}


def asked_by(question: str) -> Asked:
    """The kind of answer asked for; `OTHER` when nothing tells."""
    for asked, pattern in _ASKING:
        if pattern.search(question.strip()):
            return asked
    return Asked.OTHER


def holds(asked: Asked, sentence: str, question: str) -> bool | None:
    """Whether `sentence` holds something of the kind that the question does not say itself; None when none is known."""
    pattern = _HELD.get(asked)
    if pattern is None:
        return None
    return any(match.group() not in question for match in pattern.finditer(sentence))
