# What somebody should hear of. Each alarm is off where nothing is wrong, and where AWS counts nothing.

locals {
  queue_alarms = local.has_queue ? {
    ingest-oldest = {
      description = "what clients publish waits for more than 60 s: the server is away or too slow"
      namespace   = "AWS/SQS"
      metric      = "ApproximateAgeOfOldestMessage"
      dimensions  = { QueueName = aws_sqs_queue.ingest[0].name }
      statistic   = "Maximum"
      threshold   = 60
      minutes     = 5
    }
    ingest-dead = {
      description = "the server could not store something and it was put aside"
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = aws_sqs_queue.dead_letter[0].name }
      statistic   = "Maximum"
      threshold   = 0
      minutes     = 1
    }
    ingest-rule-errors = {
      description = "a rule could not put something into the queue and it was put aside"
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = aws_sqs_queue.rule_error[0].name }
      statistic   = "Maximum"
      threshold   = 0
      minutes     = 1
    }
  } : {}

  rule_alarms = {
    for door, rule in aws_iot_topic_rule.ingest : "ingest-throttled-${door}" => {
      description = "AWS throttles the rule for ${door}/: what it drops is in no stream"
      namespace   = "AWS/IoT"
      metric      = "RuleMessageThrottled"
      dimensions  = { RuleName = rule.name }
      statistic   = "Sum"
      threshold   = 0
      minutes     = 1
    }
  }

  client_alarms = {
    for operation in ["Connect", "PublishIn", "PublishOut", "Subscribe"] : "throttled-${lower(operation)}" => {
      description = "AWS throttles ${operation} of clients: a quota of the account is reached"
      namespace   = "AWS/IoT"
      metric      = "${operation}.Throttle"
      dimensions  = { Protocol = "MQTT" }
      statistic   = "Sum"
      threshold   = 0
      minutes     = 1
    }
  }

  authorizer_alarms = local.has_authorizer ? {
    authorizer-errors = {
      description = "the authorizer fails, and lets nobody in"
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = aws_lambda_function.authorizer[0].function_name }
      statistic   = "Sum"
      threshold   = 0
      minutes     = 1
    }
    authorizer-throttles = {
      description = "Lambda throttles the authorizer: clients are turned away"
      namespace   = "AWS/Lambda"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.authorizer[0].function_name }
      statistic   = "Sum"
      threshold   = 0
      minutes     = 1
    }
  } : {}
}

resource "aws_cloudwatch_metric_alarm" "alarm" {
  for_each            = merge(local.queue_alarms, local.rule_alarms, local.client_alarms, local.authorizer_alarms)
  alarm_name          = "${var.root}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = 60
  evaluation_periods  = each.value.minutes
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = local.tags
}
