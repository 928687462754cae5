% from urllib.parse import urlencode
% from tools.history.times import in_minutes as minutes
% from tools.inspector.drawing import BAR_HEIGHT, BAR_PITCH, KINDS, bars
% rebase("layout.tpl", title="Report", tab="Report")
% with_simulated = {"simulated": 1} if simulated else {}
<h1>Report</h1>
<p class="spans">
% for value, name in (("today", "Today"), ("7d", "7 days"), ("30d", "30 days")):
<a href="report?{{urlencode({"since": value} | with_simulated)}}"\\
% if value == span:
 aria-current="true"\\
% end
>{{name}}</a>
% end
% if report.simulated:
% turned = {} if simulated else {"simulated": 1}
<a href="report?{{urlencode({"since": span} | turned)}}">{{f"leave out the {report.simulated:,} simulated" if simulated else f"count {report.simulated:,} simulated too"}}</a>
% end
</p>
% if not report.total.calls:
<p class="none">No call came in this time.</p>
% else:
<figure class="chart">
<figcaption>
% for kind in KINDS:
<span class="key {{kind}}">{{kind.replace("_", " ")}}</span>
% end
</figcaption>
<p class="axis"><span>{{f"{max(tally.calls for _, tally in report.days):,} calls"}}</span></p>
<svg viewBox="0 0 {{max(len(report.days), 7) * BAR_PITCH}} {{BAR_HEIGHT}}" preserveAspectRatio="none" role="img" aria-label="Calls of each day by what became of them, as in the table below">
% for place, top, height, kind, title in bars(report.days):
<rect class="{{kind}}" x="{{place + 1}}" y="{{top}}" width="{{BAR_PITCH - 2}}" height="{{height}}"><title>{{title}}</title></rect>
% end
</svg>
<p class="axis"><span>{{report.days[0][0]}}</span>\\
% if len(report.days) >= 7:
<span>{{report.days[-1][0]}}</span>\\
% end
</p>
</figure>
<div class="scroll" tabindex="0" role="group" aria-label="Calls of each day">
<table>
<thead><tr><th scope="col">Day</th><th scope="col" class="number">Calls</th>
% for kind in KINDS:
<th scope="col" class="number">{{kind.replace("_", " ").capitalize()}}</th>
% end
</tr></thead>
<tbody>
% for day, tally in reversed(report.days):
<tr><th scope="row"><span class="wide">{{day.year}}-</span>{{f"{day:%m-%d}"}}</th>
% for kind in ("calls", *KINDS):
% count = getattr(tally, kind)
<td class="number">{{f"{count:,}"}}</td>
% end
</tr>
% end
</tbody>
<tfoot><tr><th scope="row">All</th>
% for kind in ("calls", *KINDS):
% count = getattr(report.total, kind)
<td class="number">{{f"{count:,}"}}</td>
% end
</tr></tfoot>
</table>
</div>
% if report.total.other:
<p class="note">Other: {{f"{report.in_progress:,} in progress, {report.total.unknown:,} end unknown"}}.</p>
% end
<div class="tables">
% if report.refusals:
<table aria-label="Refusals by reason">
<thead><tr><th scope="col">Refused because</th><th scope="col" class="number">Calls</th></tr></thead>
<tbody>
% for reason, count in report.refusals.items():
<tr><td>{{reason or "no reason"}}</td><td class="number">{{f"{count:,}"}}</td></tr>
% end
</tbody>
</table>
% end
% if report.wait or report.talk:
<table aria-label="How long callers waited and people talked">
<thead><tr><th scope="col">Minutes and seconds</th><th scope="col" class="number">Mean</th><th scope="col" class="number">Median</th><th scope="col" class="number">95 % within</th></tr></thead>
<tbody>
% for name, spread in (("Wait for the answer", report.wait), ("Talk", report.talk)):
% if spread:
<tr><td>{{name}}</td><td class="number">{{minutes(spread.mean_s)}}</td><td class="number">{{minutes(spread.median_s)}}</td><td class="number">{{minutes(spread.p95_s)}}</td></tr>
% end
% end
</tbody>
</table>
% end
</div>
% end
