# What clients publish, by rules into a queue: nothing is lost where the server is away.

resource "aws_sqs_queue" "ingest" {
  count                      = local.has_queue ? 1 : 0
  name                       = "${var.root}-ingest"
  message_retention_seconds  = 1209600
  sqs_managed_sse_enabled    = true
  visibility_timeout_seconds = 60
  receive_wait_time_seconds  = 20
  tags                       = local.tags

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letter[0].arn
    maxReceiveCount     = 5
  })
}

resource "aws_sqs_queue" "dead_letter" {
  count                     = local.has_queue ? 1 : 0
  name                      = "${var.root}-ingest-dead"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = local.tags
}

resource "aws_sqs_queue" "rule_error" {
  count                     = local.has_queue ? 1 : 0
  name                      = "${var.root}-ingest-rule-errors"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = local.tags
}

data "aws_iam_policy_document" "rule_trust" {
  statement {
    effect  = "Allow"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["iot.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "queues" {
  count = local.has_queue ? 1 : 0

  statement {
    effect    = "Allow"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.ingest[0].arn, aws_sqs_queue.rule_error[0].arn]
  }
}

resource "aws_iam_role" "rule" {
  count              = local.has_queue ? 1 : 0
  name               = "${var.root}-ingest-${local.region}"
  description        = "The rules of Tidemark below ${var.root}/: writing to their queues only"
  assume_role_policy = data.aws_iam_policy_document.rule_trust.json
  tags               = local.tags
}

resource "aws_iam_role_policy" "queues" {
  count  = local.has_queue ? 1 : 0
  name   = "queues"
  role   = aws_iam_role.rule[0].id
  policy = data.aws_iam_policy_document.queues[0].json
}

# What the server itself publishes, whose client ids begin with svc., it has already.
resource "aws_iot_topic_rule" "ingest" {
  for_each    = local.has_queue ? toset(["put", "users", "spaces", "outbox"]) : toset([])
  name        = "tidemark_${replace(var.root, "-", "_")}_${each.value}"
  description = "What clients publish below ${var.root}/${each.value}/, for the Tidemark server"
  enabled     = true
  sql_version = "2016-03-23"
  sql         = "SELECT encode(*, 'base64') AS payload, topic() AS topic, clientid() AS client, principal() AS principal, timestamp() AS time, traceid() AS trace FROM '${var.root}/${each.value}/#' WHERE NOT startswith(clientid(), 'svc.')"
  tags        = local.tags

  sqs {
    queue_url  = aws_sqs_queue.ingest[0].url
    role_arn   = aws_iam_role.rule[0].arn
    use_base64 = false
  }

  error_action {
    sqs {
      queue_url  = aws_sqs_queue.rule_error[0].url
      role_arn   = aws_iam_role.rule[0].arn
      use_base64 = false
    }
  }
}
